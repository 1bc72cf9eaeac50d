// Hands messages out: the longest ready first, fresh ones and those due again merged by time.

import { after, decideWindow, epochMs, maxAttempts } from "../../../core/index.ts";
import type { EpochMs } from "../../../core/index.ts";
import type { AnswerBytes } from "../answer-bytes.ts";
import type { LaterMessage } from "../later-line.ts";
import { leasedBatch } from "../lease-book.ts";
import type { LeasedItem } from "../lease-book.ts";
import type { Ledger } from "../ledger.ts";
import { addLeasedFrame } from "../leased-frame.ts";
import type { LeasedFrame, LeaseMessage } from "../protocol.ts";
import type { QueueState } from "../queue-state.ts";
import { bodyLength } from "../record.ts";
import type { Run } from "../run-list.ts";

interface Taken {
  readonly first: number;
  readonly count: number;
  /** Deliveries before this one. */
  readonly attempts: number;
}

/** Throws `QUEUE_NOT_FOUND` before anything happens. */
export function lease(ledger: Ledger, request: LeaseMessage, bytes: AnswerBytes): LeasedFrame | undefined {
  const queue = ledger.queue(request.queue);
  const { now, window } = request;
  if (window !== undefined && decideWindow(queue.readiness(now), window, now).kind === "wait") return undefined;
  // What is damaged is not handed out, and then others are: until there is something, or nothing left.
  for (;;) {
    const { taken, isRedelivery } = take(queue, request.max, now);
    if (taken.length === 0) return undefined;
    const endsAt = epochMs(Math.ceil(after(now, request.visibility)));
    const { items, records } = read(ledger, queue, taken, endsAt);
    if (items.length === 0) continue;
    const batch = ledger.newBatch();
    ledger.putLease(queue, leasedBatch({ batch, holder: request.holder, isRedelivery, items }));
    return addLeasedFrame(bytes, batch, items, records);
  }
}

/** The records of what was taken; those that are damaged are set aside. */
function read(
  ledger: Ledger,
  queue: QueueState,
  taken: readonly Taken[],
  endsAt: EpochMs,
): { readonly items: readonly LeasedItem[]; readonly records: readonly Uint8Array[] } {
  const { log } = ledger.tables;
  const items: LeasedItem[] = [];
  const records: Uint8Array[] = [];
  for (const { first, count, attempts: before } of taken) {
    const attempts = Math.min(maxAttempts, before + 1);
    const run = log.readRange(first, count);
    for (let index = 0; index < count; index += 1) {
      const position = first + index;
      const record = run === undefined ? log.readRange(position, 1)?.[0] : run[index];
      if (record === undefined) {
        ledger.setAside(queue, position, before);
        continue;
      }
      items.push({ position, attempts, size: bodyLength(record), endsAt });
      records.push(record);
    }
  }
  return { items, records };
}

function take(
  queue: QueueState,
  max: number,
  now: EpochMs,
): { readonly taken: Taken[]; readonly isRedelivery: boolean } {
  const due = queue.later.due(now, max);
  const taken: Taken[] = [];
  let left = max;
  let used = 0;
  while (left > 0) {
    const again = due[used];
    const fresh = queue.fresh.first();
    if (again !== undefined && (fresh === undefined || isBefore(again, fresh))) {
      taken.push({ first: again.position, count: 1, attempts: again.attempts });
      used += 1;
      left -= 1;
      continue;
    }
    const run = queue.fresh.take(left);
    if (run === undefined) break;
    taken.push({ first: run.first, count: run.count, attempts: 0 });
    left -= run.count;
  }
  const last = due[used - 1];
  if (last !== undefined) queue.later.removeThrough(last, used);
  return { taken, isRedelivery: used > 0 };
}

function isBefore(again: LaterMessage, fresh: Run): boolean {
  return again.dueAt < fresh.storedAt || (again.dueAt === fresh.storedAt && again.position < fresh.first);
}
