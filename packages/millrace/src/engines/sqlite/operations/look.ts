// Looks without changing anything: peek, and the leases that have ended.

import type { EpochMs, MessageId } from "../../../core/index.ts";
import type { AnswerBytes } from "../answer-bytes.ts";
import { parseMessageRef } from "../lease-id.ts";
import type { Ledger } from "../ledger.ts";
import type { ExpiredLeasesMessage, PeekMessage, Results } from "../protocol.ts";
import type { QueueState } from "../queue-state.ts";
import { readHeader } from "../record.ts";

interface Found {
  readonly position: number;
  readonly attempts: number;
  readonly state: "ready" | "delayed" | "leased";
  readonly until: EpochMs | undefined;
}

/** Oldest first; what is damaged is left out. A ref that is none of ours means: from the start. */
export function peek(ledger: Ledger, request: PeekMessage, bytes: AnswerBytes): Results["peek"] {
  const queue = ledger.queue(request.queue);
  const behind = request.after === undefined ? 0 : (parseMessageRef(request.after) ?? 0);
  const { max, now } = request;
  const found = [
    ...freshBehind(queue, behind, max),
    ...leasedBehind(queue, behind),
    ...laterBehind(queue, behind, max, now),
  ];
  return found
    .toSorted((a, b) => a.position - b.position)
    .slice(0, max)
    .flatMap((each) => {
      const [record] = ledger.tables.log.readRange(each.position, 1) ?? [];
      return record === undefined ? [] : [Object.assign({ record: bytes.add(record) }, each)];
    });
}

function freshBehind(queue: QueueState, behind: number, max: number): Found[] {
  const positions = queue.fresh.positions(behind).take(max);
  return Array.from(positions, (position) => ({ position, attempts: 0, state: "ready", until: undefined }));
}

function leasedBehind(queue: QueueState, behind: number): Found[] {
  const found: Found[] = [];
  for (const { items } of queue.leases.batches()) {
    for (const { position, attempts, endsAt } of items) {
      if (position > behind) found.push({ position, attempts, state: "leased", until: endsAt });
    }
  }
  return found;
}

function laterBehind(queue: QueueState, behind: number, max: number, now: EpochMs): Found[] {
  return queue.later.waitingBehind(behind, max).map(({ position, attempts, dueAt }) => ({
    position,
    attempts,
    state: dueAt <= now ? "ready" : "delayed",
    until: dueAt <= now ? undefined : dueAt,
  }));
}

export function expiredLeases(ledger: Ledger, request: ExpiredLeasesMessage): Results["expiredLeases"] {
  const queue = ledger.queue(request.queue);
  return queue.leases.ended(request.now, request.limit).map(({ batch, position, attempts }) => ({
    batch,
    position,
    attempts,
    id: idOf(ledger.tables.log.header(position)),
  }));
}

/** Whatever comes of it, a lease of a message that is damaged has to end. */
function idOf(header: Buffer | undefined): MessageId {
  return header === undefined ? ("0".repeat(32) as MessageId) : readHeader(header).id;
}
