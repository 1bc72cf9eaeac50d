// Batch assembly: when is it time to deliver? "Full, or the timeout since the first waiting message, whichever first."

import type { Readiness } from "./message.ts";
import type { EpochMs, Milliseconds } from "./time.ts";
import { after, earliest } from "./time.ts";

export interface BatchWindow {
  /** A batch of this many messages is full, 1 to 100. */
  readonly size: number;
  /** How long the first waiting message may wait for company; 0 delivers at once. */
  readonly timeout: Milliseconds;
}

/** A window that never waits; pull consumers take what is there. */
export const noWindow = (size: number): BatchWindow => ({ size, timeout: 0 as Milliseconds });

export type WindowDecision =
  | { readonly kind: "deliver" }
  /** Nothing to deliver before `at`, unless more messages arrive; `undefined`: only an arrival can change it. */
  | { readonly kind: "wait"; readonly at: EpochMs | undefined };

/**
 * Whether a batch is due now. Never an empty batch. Source: queues-contract.md section 4.
 * The timeout counts from when the longest waiting message became ready, so what had to wait for a free consumer
 * does not wait again.
 */
export function decideWindow(readiness: Readiness, window: BatchWindow, now: EpochMs): WindowDecision {
  if (readiness.ready >= window.size) return { kind: "deliver" };
  if (readiness.ready > 0) {
    const since = readiness.readySince ?? now;
    const closesAt = after(since, window.timeout);
    // Ready since a time to come: the clock was set back, and the wait would be that much longer.
    if (closesAt <= now || since > now) return { kind: "deliver" };
    // A delayed message that becomes due earlier may fill the batch.
    return { kind: "wait", at: earliest(closesAt, readiness.nextDueAt) };
  }
  return { kind: "wait", at: readiness.nextDueAt };
}
