// What the API needs from whoever runs Workers: try a version before it is stored, say how a Worker is, show what it logs.

import type { VersionRecord, WorkerName } from "../core/index.ts";

/** One invocation of a Worker, as `wrangler tail` shows it. Source: rest-api.md section 7.7. */
export interface WorkerTrace {
  readonly scriptName: string;
  readonly outcome: string;
  readonly [field: string]: unknown;
}

/** How a hosted Worker is doing. */
export interface WorkerStatus {
  /** Where its `fetch` handler answers; `undefined` when it is not served. */
  readonly url?: string | undefined;
  readonly [field: string]: unknown;
}

export interface DeployTarget {
  /**
   * Starts the version aside to find out whether it loads and which handlers it exports; nothing is switched over.
   * Throws `WORKER_INVALID` with the runtime's own words.
   */
  prepare(
    version: VersionRecord,
    modules: ReadonlyMap<string, Uint8Array>,
  ): Promise<{ readonly handlers: readonly string[]; readonly startupMs: number }>;

  /** `undefined` when the Worker is not hosted here. */
  describe(worker: WorkerName): WorkerStatus | undefined;

  /** Calls back after every invocation. Returns the way to stop listening. */
  onTrace(listener: (trace: WorkerTrace) => void): () => void;
}
