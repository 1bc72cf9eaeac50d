// When a message that is being sent becomes visible.

import type { EpochMs, Milliseconds } from "./time.ts";
import { after } from "./time.ts";

/**
 * The delay of a message: its own, else the batch's, else the queue's default. An explicit 0 wins.
 * Source: queues-contract.md section 6.
 */
export function deliveryDelay(
  own: Milliseconds | undefined,
  batch: Milliseconds | undefined,
  queueDefault: Milliseconds,
): Milliseconds {
  return own ?? batch ?? queueDefault;
}

/** First moment of visibility; `undefined` means at once. */
export function visibleAfter(now: EpochMs, delay: Milliseconds): EpochMs | undefined {
  return delay > 0 ? after(now, delay) : undefined;
}
