// When stored messages expire. Source: queues-contract.md section 7.

import type { EpochMs, Milliseconds } from "./time.ts";
import { after, epochMs } from "./time.ts";

/** Messages that came into the queue before this point have expired. Age counts from arrival in this queue. */
export function expiryHorizon(now: EpochMs, retention: Milliseconds): EpochMs {
  return epochMs(now - retention);
}

/** When the next sweep of a queue is due; `undefined` when nothing is stored. */
export function nextSweepAt(oldestStoredAt: EpochMs | undefined, retention: Milliseconds): EpochMs | undefined {
  return oldestStoredAt === undefined ? undefined : after(oldestStoredAt, retention);
}
