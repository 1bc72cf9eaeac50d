// Lease ids, batch ids and refs as texts. A lease id names a batch and the position of a message in it: batches are numbered once
// and for all, positions too, so neither means anything in another queue, after a purge, or for a later delivery.

import type { BatchId, LeaseId, MessageRef } from "../../core/index.ts";

export function leaseId(batch: number, position: number): LeaseId {
  return `${batch.toString(36)}-${position.toString(36)}` as LeaseId;
}

/** `undefined` when the text is none of ours. */
export function parseLeaseId(lease: LeaseId): { readonly batch: number; readonly position: number } | undefined {
  const dash = lease.indexOf("-");
  const batch = parseNumber(lease.slice(0, Math.max(0, dash)));
  const position = parseNumber(lease.slice(dash + 1));
  return dash < 0 || batch === undefined || position === undefined ? undefined : { batch, position };
}

export function batchId(batch: number): BatchId {
  return batch.toString(36) as BatchId;
}

export function parseBatchId(batch: BatchId): number | undefined {
  return parseNumber(batch);
}

export function messageRef(position: number): MessageRef {
  return position.toString(36) as MessageRef;
}

export function parseMessageRef(ref: MessageRef): number | undefined {
  return parseNumber(ref);
}

const numberPattern = /^[0-9a-z]{1,11}$/;

/** Only the one text that we write for a number. */
function parseNumber(text: string): number | undefined {
  if (!numberPattern.test(text)) return undefined;
  const number = Number.parseInt(text, 36);
  return Number.isSafeInteger(number) && number > 0 && number.toString(36) === text ? number : undefined;
}
