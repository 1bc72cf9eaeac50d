// How long the host waits for what. All in milliseconds; tests shorten them.

import { limits } from "../contract/index.ts";

export interface HostLimits {
  /** One invocation of a queue handler. */
  readonly wallTimeMs: number;
  /** From spawn to listening. Cloudflare allows a second of CPU; a busy machine is given more. */
  readonly startTimeoutMs: number;
  /** Between an answered ping and the next. */
  readonly pingIntervalMs: number;
  /** An event loop that answers no ping for so long is wedged. The default is Cloudflare's CPU limit for one invocation. */
  readonly unresponsiveMs: number;
  /** The same, right after a handler was aborted: it must give way now. */
  readonly abortGraceMs: number;
  /** Restart delays after the first restarts, which are immediate: this, then twice as much, up to the longest. */
  readonly firstBackoffMs: number;
  readonly longestBackoffMs: number;
  /** Having run so long without dying, a Worker has a clean record again; having brought a batch to a good end, at once. */
  readonly healthyAfterMs: number;
  /** How long an old version may finish its HTTP requests after its last batch. */
  readonly retireGraceMs: number;
  /** The same at the end of the server. */
  readonly stopGraceMs: number;
  /** How long a version that was tried but not deployed is kept running. */
  readonly preparedForMs: number;
  /** How long a request waits for a Worker that is just starting. */
  readonly requestWaitMs: number;
  /** Between tries to open a Worker's own port, at the longest. */
  readonly portRetryMs: number;
  /** Processes starting at the same time. */
  readonly concurrentStarts: number;
}

export const defaultHostLimits: HostLimits = {
  wallTimeMs: limits.consumer.wallTimeMs,
  startTimeoutMs: 10_000,
  pingIntervalMs: 5_000,
  unresponsiveMs: 30_000,
  abortGraceMs: 5_000,
  firstBackoffMs: 500,
  longestBackoffMs: 30_000,
  healthyAfterMs: 60_000,
  retireGraceMs: 30_000,
  stopGraceMs: 2_000,
  preparedForMs: 60_000,
  requestWaitMs: 5_000,
  portRetryMs: 10_000,
  concurrentStarts: 4,
};
