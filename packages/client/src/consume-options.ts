// How a consumer runs: what may be set, and the checks.

import type { ConsumerEvent } from "./consumer-events.ts";
import { requireWholeNumber } from "./option-rules.ts";
import { limits } from "./limits.ts";

export interface ConsumeOptions {
  /** Aborted: stops the consumer, like `stop()`. */
  readonly signal?: AbortSignal | undefined;
  /** Batches handled at once, 1 to 1,000. Default 1. */
  readonly concurrency?: number | undefined;
  /** Messages of a batch at most, 1 to 100. Default 10. */
  readonly batchSize?: number | undefined;
  /**
   * How long messages stay hidden from others while the handler has them, up to 12 hours; a handler that takes longer sees
   * them delivered again. Default: the consumer's own setting, or 30,000 with `extendLeases`.
   */
  readonly visibilityTimeoutMs?: number | undefined;
  /** Moves the end of the leases while the handler runs, where the server can (Millrace, not Cloudflare). Default false. */
  readonly extendLeases?: boolean | undefined;
  /** How long the server may hold a pull open until a message arrives (Millrace, not Cloudflare), up to 60,000. Default 30,000. */
  readonly waitMs?: number | undefined;
  /** Where the server does not hold pulls open: the longest pause between pulls from an empty queue. Default 1,000. */
  readonly pollIntervalMs?: number | undefined;
  readonly onEvent?: ((event: ConsumerEvent) => void) | undefined;
}

export interface ConsumeSettings {
  readonly concurrency: number;
  readonly batchSize: number;
  readonly visibilityTimeoutMs: number | undefined;
  readonly extendLeases: boolean;
  readonly waitMs: number;
  readonly pollIntervalMs: number;
}

const defaultVisibilityTimeoutMs = 30_000;

/** Throws `OPTION_INVALID`. */
export function parseConsumeOptions(options: ConsumeOptions): ConsumeSettings {
  const { concurrency = 1, batchSize = 10, extendLeases = false, waitMs = 30_000, pollIntervalMs = 1_000 } = options;
  const visibilityTimeoutMs = options.visibilityTimeoutMs ?? (extendLeases ? defaultVisibilityTimeoutMs : undefined);
  requireWholeNumber("concurrency", concurrency, { min: 1, max: 1_000, unit: "batches" });
  requireWholeNumber("batchSize", batchSize, limits.pull.batchSize);
  requireWholeNumber("visibilityTimeoutMs", visibilityTimeoutMs, {
    ...limits.pull.visibilityTimeout,
    ...(extendLeases && { min: 1_000 }), // three extensions in each must have time to arrive
  });
  requireWholeNumber("waitMs", waitMs, limits.pull.wait);
  requireWholeNumber("pollIntervalMs", pollIntervalMs, { min: 1, max: 3_600_000, unit: "milliseconds" });
  return { concurrency, batchSize, visibilityTimeoutMs, extendLeases, waitMs, pollIntervalMs };
}
