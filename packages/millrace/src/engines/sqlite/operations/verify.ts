// Recounts a queue by reading every message, a slice a request: which positions its lines name, which rows of the log are its own,
// and whether the two agree.

import { isAmong } from "../dead-rows.ts";
import type { DeadRun } from "../dead-rows.ts";
import type { Ledger } from "../ledger.ts";
import type { Results, VerifyMessage } from "../protocol.ts";
import type { QueueState } from "../queue-state.ts";
import { bodyLength, isWhole } from "../record.ts";
import { RunningRecount } from "../recount.ts";

// Bounds of a slice: a few milliseconds.
const sliceMessages = 1_000;
const slicePositions = 4_000;
const sliceBytes = 4_000_000;

/** Throws `QUEUE_NOT_FOUND` before anything happens. */
export function verify(ledger: Ledger, { queue: id, begin }: VerifyMessage): Results["verify"] {
  const queue = ledger.queue(id);
  if (begin) ledger.recount = new RunningRecount(queue.number);
  const { recount } = ledger;
  if (recount?.queue !== queue.number) return "lost";
  countSlice(ledger, queue, recount);
  if (recount.through < ledger.nextPosition - 1) return "more";
  ledger.recount = undefined;
  const { count, bytes, stranded, missing, doubled, unreadable } = recount;
  const { counters } = queue;
  return {
    backlog: { count: counters.count, bytes: counters.bytes },
    accounting: queue.accounting(),
    held: queue.held(),
    stored: { count, bytes },
    stranded,
    missing,
    doubled,
    unreadable,
  };
}

function countSlice(ledger: Ledger, queue: QueueState, recount: RunningRecount): void {
  const { log } = ledger.tables;
  const named = namedBehind(queue, recount.through);
  const slice = named.slice(0, sliceMessages);
  const lastNamed = named.length > slice.length ? slice.at(-1) : undefined;
  // Where the log has a gap, of deleted rows, the slice begins behind it.
  const nextRow = log.messageFrom(recount.through + 1)?.position ?? ledger.nextPosition;
  const first = Math.min(slice[0] ?? ledger.nextPosition, nextRow);
  let through = Math.min(lastNamed ?? ledger.nextPosition - 1, first + slicePositions - 1, ledger.nextPosition - 1);

  const found = new Set<number>();
  const isNamed = new Set(slice);
  let dead: readonly DeadRun[] | undefined;
  let bytes = 0;
  for (const { position, record } of log.recordsOf(queue.number, first, through)) {
    bytes += record.length;
    found.add(position);
    if (isNamed.has(position)) {
      recount.count += 1;
      recount.bytes += bodyLength(record);
      if (!isWhole(record, { position, queue: queue.number })) recount.unreadable += 1;
    } else {
      dead ??= ledger.deadRuns();
      if (!isAmong(dead, position)) recount.stranded += 1;
    }
    if (bytes >= sliceBytes) through = position;
    if (position >= through) break;
  }
  let before = 0;
  for (const position of slice) {
    if (position > through) break;
    if (position === before) recount.doubled += 1;
    else if (!found.has(position)) recount.isMissing(position);
    before = position;
  }
  recount.through = through;
}

/** Positions that the queue's lines name behind a position, in order: all of them, or more than a slice takes. */
function namedBehind(queue: QueueState, behind: number): number[] {
  const named = Array.from(queue.fresh.positions(behind).take(sliceMessages + 1));
  for (const { position } of queue.later.behind(behind, sliceMessages + 1)) named.push(position);
  for (const { items } of queue.leases.batches()) {
    for (const { position } of items) if (position > behind) named.push(position);
  }
  return named.toSorted((a, b) => a - b);
}
