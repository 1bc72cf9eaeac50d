// Deletes messages that no consumer settled: purge, purge by ref, retention.

import type { EpochMs, MessageRef, QueueId } from "../../../core/index.ts";
import { parseMessageRef } from "../lease-id.ts";
import type { Ledger } from "../ledger.ts";
import type { Results } from "../protocol.ts";
import type { QueueState } from "../queue-state.ts";
import { bodyLength, readHeader } from "../record.ts";

/**
 * Deletes everything at once: the queue goes on under a new number with its counters, and what it held under the old number is
 * deleted in slices in the background, also after a restart. So sends wait for nothing, and old leases and refs mean nothing.
 */
export function purge(ledger: Ledger, id: QueueId): number {
  const queue = ledger.queue(id);
  const { count, bytes } = queue.counters;
  if (count === 0) return 0;
  queue.countOut("purged", count, bytes);
  ledger.doom(queue);
  ledger.createQueue(id, { ...queue.counters });
  return count;
}

/** Deletes single messages in any state. Answers the refs that name none. */
export function purgeByRef(ledger: Ledger, queue: QueueState, refs: readonly MessageRef[]): Results["purgeByRef"] {
  const unknown = refs.filter((ref) => {
    const position = parseMessageRef(ref);
    if (position === undefined || !takeOut(ledger, queue, position)) return true;
    ledger.remove(queue, "purged", { position, size: ledger.tables.log.size(position) });
    return false;
  });
  return { purged: refs.length - unknown.length, unknown };
}

function takeOut(ledger: Ledger, queue: QueueState, position: number): boolean {
  if (queue.fresh.has(position)) {
    queue.fresh.remove(position);
    return true;
  }
  const waiting = queue.later.find(position);
  if (waiting !== undefined) {
    queue.later.remove(waiting);
    return true;
  }
  for (const { batch, items } of queue.leases.batches()) {
    const left = items.filter((item) => item.position !== position);
    if (left.length === items.length) continue;
    ledger.endLease(queue, batch, left);
    return true;
  }
  return false;
}

/** Deletes at most `limit` messages that came in before a point in time and are not leased, oldest of each line first. */
export function sweep(ledger: Ledger, queue: QueueState, storedBefore: EpochMs, limit: number): Results["sweep"] {
  let expired = 0;
  for (let run = queue.fresh.first(); run !== undefined && run.storedAt < storedBefore && expired < limit;) {
    const taken = queue.fresh.take(limit - expired);
    if (taken === undefined) break;
    for (let position = taken.first; position < taken.first + taken.count; position += 1) {
      ledger.remove(queue, "expired", { position, size: ledger.tables.log.size(position) });
    }
    expired += taken.count;
    run = queue.fresh.first();
  }
  for (const waiting of queue.later.waitingBehind(0, limit - expired)) {
    const header = ledger.tables.log.header(waiting.position);
    if (header === undefined) {
      queue.later.remove(waiting);
      ledger.setAside(queue, waiting.position, waiting.attempts);
      continue;
    }
    if (readHeader(header).storedAt >= storedBefore) break;
    queue.later.remove(waiting);
    ledger.remove(queue, "expired", { position: waiting.position, size: bodyLength(header) });
    expired += 1;
  }
  return { expired, more: hasOlder(ledger, queue, storedBefore), nextStoredAt: queue.oldestStoredAt() };
}

function hasOlder(ledger: Ledger, queue: QueueState, storedBefore: EpochMs): boolean {
  const fresh = queue.fresh.first();
  if (fresh !== undefined && fresh.storedAt < storedBefore) return true;
  const waiting = queue.later.firstPosition();
  const header = waiting === undefined ? undefined : ledger.tables.log.header(waiting);
  return header !== undefined && readHeader(header).storedAt < storedBefore;
}
