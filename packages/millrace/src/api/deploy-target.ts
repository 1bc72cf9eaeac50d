// What the API needs from whoever runs Workers: try a version before it is stored, say how a Worker is, show what it logs.

import type { ListenAddress, VersionRecord, WorkerName } from "../core/index.ts";

/** One invocation of a Worker, as `wrangler tail` shows it. Source: rest-api.md section 7.7. */
export interface WorkerTrace {
  readonly scriptName: string;
  readonly outcome: string;
  readonly [field: string]: unknown;
}

/** How a hosted Worker is doing. */
export interface WorkerStatus {
  readonly state: "starting" | "ready" | "restarting" | "crashed" | "stopped";
  /** Where its `fetch` handler answers; `undefined` when it is not served. */
  readonly url: string | undefined;
  readonly versionId: string;
  readonly pid: number | undefined;
  readonly readySince: number | undefined;
  /** Times its process died since it was deployed on this server. */
  readonly restarts: number;
  /** Why it last died or did not start. */
  readonly lastError: string | undefined;
  /** Batches and requests it has now. */
  readonly inFlight: number;
}

/** A Worker's own port. */
export interface PortStatus {
  readonly address: ListenAddress;
  readonly url: string;
  readonly isOpen: boolean;
  /** Why it is not open. */
  readonly problem: string | undefined;
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

  /**
   * Opens a port for a Worker, which gets it when the catalog says so before the reservation is disposed of. Port 0: any free one.
   * Throws `HOST_NOT_LOOPBACK`, `PORT_UNAVAILABLE`.
   */
  reservePort(
    worker: WorkerName,
    wanted: ListenAddress,
  ): Promise<AsyncDisposable & { readonly address: ListenAddress }>;

  /** A Worker's own port; `undefined`: it has none. */
  portOf(worker: WorkerName): PortStatus | undefined;

  /** `undefined` when the Worker is not hosted here. */
  describe(worker: WorkerName): WorkerStatus | undefined;

  /** Calls back after every invocation of a Worker. Reports cost something: they are made only while somebody listens. */
  onTrace(listener: (trace: WorkerTrace) => void, worker: WorkerName): () => void;
}
