// Trying again: which failures, how often, and how long between.

import { QueueError } from "./errors.ts";
import { requireWholeNumber } from "./option-rules.ts";
import { pause } from "./time.ts";
import type { Time } from "./time.ts";

export interface RetryOptions {
  /** Requests at most for one call, the first included; 1: never try again. Default 6. */
  readonly attempts?: number | undefined;
  /** The first wait; each one after it is twice as long. Default 100. */
  readonly minDelayMs?: number | undefined;
  /** Default 10,000. */
  readonly maxDelayMs?: number | undefined;
}

/** A server may ask for longer waits than ours; this is the longest that is granted. */
const longestRetryAfterMs = 60_000;

export class RetryPolicy {
  readonly attempts: number;
  readonly #minDelayMs: number;
  readonly #maxDelayMs: number;
  readonly #time: Time;
  readonly #randomBytes: (count: number) => Uint8Array;

  constructor(options: RetryOptions, time: Time, randomBytes: (count: number) => Uint8Array) {
    const { attempts = 6, minDelayMs = 100, maxDelayMs = 10_000 } = options;
    requireWholeNumber("retry.attempts", attempts, { min: 1, max: 1_000, unit: "attempts" });
    requireWholeNumber("retry.minDelayMs", minDelayMs, { min: 1, max: 600_000, unit: "milliseconds" });
    requireWholeNumber("retry.maxDelayMs", maxDelayMs, { min: minDelayMs, max: 600_000, unit: "milliseconds" });
    this.attempts = attempts;
    this.#minDelayMs = minDelayMs;
    this.#maxDelayMs = maxDelayMs;
    this.#time = time;
    this.#randomBytes = randomBytes;
  }

  /**
   * How long to wait after this many failures in a row (1 or more). Between half and all of the exponential delay, so that
   * clients that failed together do not come back together; never less than the server asked for.
   */
  delayMs(failures: number, error: unknown): number {
    const full = Math.min(this.#maxDelayMs, this.#minDelayMs * 2 ** (failures - 1));
    const share = 0.5 + (this.#randomBytes(1)[0] ?? 0) / 512;
    const asked = error instanceof QueueError ? (error.retryAfterMs ?? 0) : 0;
    return Math.round(Math.max(full * share, Math.min(asked, longestRetryAfterMs)));
  }

  /** Calls until it succeeds, fails with what is not retryable, or has been tried often enough. */
  async run<T>(call: () => Promise<T>): Promise<T> {
    for (let failures = 1; ; failures += 1) {
      try {
        return await call();
      } catch (error) {
        if (!(error instanceof QueueError) || !error.retryable || failures >= this.attempts) throw error;
        await pause(this.#time, this.delayMs(failures, error));
      }
    }
  }
}
