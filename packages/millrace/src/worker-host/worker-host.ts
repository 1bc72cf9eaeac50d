// Runs every deployed Worker in a real workerd process of its own, hands batches to them, takes what their bindings send.

import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { ControlPlane, Delivery, DeliveryOutcome, Intake, PushTarget } from "../broker/index.ts";
import { isMillraceError, MillraceError } from "../core/index.ts";
import type {
  Backlog,
  CatalogStore,
  CatalogView,
  Clock,
  EpochMs,
  ListenAddress,
  Logger,
  QueueId,
  VersionId,
  VersionRecord,
  WorkerName,
} from "../core/index.ts";
import { BindingSocket } from "./binding-socket.ts";
import { checkModuleNames } from "./module-names.ts";
import { HostedWorker } from "./hosted-worker.ts";
import type { WorkerState } from "./hosted-worker.ts";
import { defaultHostLimits } from "./host-limits.ts";
import type { HostLimits } from "./host-limits.ts";
import { Launcher } from "./launcher.ts";
import { WorkerRouter } from "./router.ts";
import type { RouterOptions } from "./router.ts";
import { RuntimeFolder } from "./runtime-folder.ts";
import { StartFailure } from "./runtime-process.ts";
import { Semaphore } from "./semaphore.ts";
import { Sitter } from "./sitter.ts";
import { TraceFeed } from "./trace-feed.ts";
import type { WorkerTrace } from "./trace-feed.ts";
import { WorkerLog } from "./worker-log.ts";
import type { WorkerLogEntry } from "./worker-log.ts";
import { wantedPorts, WorkerPorts } from "./worker-ports.ts";
import type { PortDescription, PortReservation } from "./worker-ports.ts";
import type { WorkerProcess } from "./worker-process.ts";
import { findWorkerd } from "./workerd-binary.ts";

export interface WorkerHostOptions {
  readonly controlPlane: ControlPlane;
  readonly intake: Pick<Intake, "send">;
  /** Where the modules of deployed versions are. */
  readonly blobs: Pick<CatalogStore, "getBlob">;
  /** A queue's backlog now, for the binding's `metrics()`. */
  readonly backlogOf: (queue: QueueId) => Promise<Backlog>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** A private folder beside the data, where running processes are recorded so that a killed server's are found. Made if absent. */
  readonly runFolder: string;
  /** Whether Workers may listen on ports of their own where other machines reach them; by default not. */
  readonly openToOthers?: boolean | undefined;
  /** The server's own ports, which no Worker gets. */
  readonly serverPorts?: readonly number[] | undefined;
  readonly limits?: Partial<HostLimits> | undefined;
}

/** What a trial start found. */
export interface PreparedVersion {
  /** Of the default export: `fetch`, `queue`, … */
  readonly handlers: string[];
  /** Handlers of other exported entrypoints, by name. */
  readonly namedHandlers: Readonly<Record<string, readonly string[]>>;
  readonly startupMs: number;
}

/** How a hosted Worker is doing. */
export type WorkerDescription = {
  readonly worker: WorkerName;
  readonly state: WorkerState;
  /** Where its `fetch` handler answers; `undefined` while no router is open. */
  readonly url: string | undefined;
  /** The version that runs, or shall run. */
  readonly versionId: VersionId;
  readonly versionNumber: number;
  readonly handlers: readonly string[];
  readonly pid: number | undefined;
  /** Since when the process takes batches and requests. */
  readonly readySince: EpochMs | undefined;
  /** Times its process died since it was deployed on this server. */
  readonly restarts: number;
  readonly lastError: string | undefined;
  /** Batches and requests it has now. */
  readonly inFlight: number;
};

interface Prepared {
  readonly process: WorkerProcess;
  readonly timer: NodeJS.Timeout;
}

/** Versions tried and not deployed that are kept running at the same time. */
const mostPrepared = 4;

export class WorkerHost implements PushTarget, AsyncDisposable {
  readonly #options: WorkerHostOptions;
  readonly #limits: HostLimits;
  readonly #folder: RuntimeFolder;
  readonly #sitter: Sitter;
  readonly #socket: BindingSocket;
  readonly #launcher: Launcher;
  readonly #log: WorkerLog;
  readonly #traces: TraceFeed;
  readonly #ports: WorkerPorts;
  readonly #starts: Semaphore;
  readonly #workers = new Map<WorkerName, HostedWorker>();
  /** Deleted Workers finishing what they have. */
  readonly #retiring = new Set<HostedWorker>();
  readonly #prepared = new Map<VersionId, Prepared>();
  readonly #readyListeners = new Set<(worker: WorkerName) => void>();
  readonly #routers = new Set<WorkerRouter>();
  readonly #stopping = new AbortController();
  readonly #unsubscribe: () => void;
  #closing: Promise<void> | undefined;

  private constructor(
    options: WorkerHostOptions,
    parts: {
      limits: HostLimits;
      folder: RuntimeFolder;
      sitter: Sitter;
      socket: BindingSocket;
      log: WorkerLog;
      launcher: Launcher;
    },
  ) {
    this.#options = options;
    this.#limits = parts.limits;
    this.#folder = parts.folder;
    this.#sitter = parts.sitter;
    this.#socket = parts.socket;
    this.#log = parts.log;
    this.#launcher = parts.launcher;
    this.#starts = new Semaphore(parts.limits.concurrentStarts);
    this.#traces = new TraceFeed((worker) => {
      for (const hosted of this.#workers.values())
        if (worker === undefined || hosted.name === worker) this.#fitTracing(hosted);
    });
    this.#ports = new WorkerPorts({
      openToOthers: options.openToOthers ?? false,
      serverPorts: options.serverPorts ?? [],
      retryMs: parts.limits.portRetryMs,
      logger: options.logger,
      onChange: (worker) => {
        const hosted = this.#workers.get(worker);
        if (hosted !== undefined) this.#fitPort(hosted);
      },
    });
    this.#unsubscribe = options.controlPlane.onChange((view) => this.#follow(view));
  }

  /** Starts every deployed Worker in the background; a Worker that does not start holds nobody up. */
  static async open(options: WorkerHostOptions): Promise<WorkerHost> {
    const { controlPlane, intake, blobs, backlogOf, clock, logger, runFolder } = options;
    const limits = { ...defaultHostLimits, ...options.limits };
    const workerd = findWorkerd();
    await mkdir(runFolder, { recursive: true, mode: 0o700 });
    const folder = await RuntimeFolder.open(runFolder, logger);
    const sitter = new Sitter(folder.path);
    const catalog = (): CatalogView => controlPlane.view;
    const socket = await BindingSocket.open(join(folder.path, "b"), { intake, catalog, backlogOf, logger });
    const log = new WorkerLog(logger, clock);
    const launcher = new Launcher({ workerd, folder, sitter, socket, blobs, log, logger, limits });
    const host = new WorkerHost(options, { limits, folder, sitter, socket, log, launcher });
    host.#follow(controlPlane.view);
    return host;
  }

  /**
   * Starts the version aside, to find out whether it loads and which handlers it exports. The process stays for a while, so
   * that a deployment of this version takes over at once. `modules` are the uploaded ones by name; others come from the blobs.
   * Throws `WORKER_INVALID` with the runtime's own words.
   */
  async prepare(
    version: VersionRecord,
    modules: ReadonlyMap<string, Uint8Array> = new Map(),
  ): Promise<PreparedVersion> {
    checkModuleNames(version);
    this.#stopping.signal.throwIfAborted();
    const failed = new AbortController();
    const signal = AbortSignal.any([this.#stopping.signal, failed.signal]);
    const abortOnFailure = async <T>(start: Promise<T>): Promise<T> => {
      try {
        return await start;
      } catch (error) {
        failed.abort();
        throw error;
      }
    };
    // Together: the one serves, the other answers what is exported, and each can refuse.
    const [trial, probe] = await Promise.allSettled([
      abortOnFailure(this.#launcher.launch(version, { signal, modules, traces: this.#traceSink(version.worker) })),
      abortOnFailure(this.#launcher.probe(version, { signal, modules })),
    ]);
    if (trial.status === "fulfilled" && probe.status === "fulfilled") {
      this.#keepPrepared(trial.value);
      const { handlers, named } = probe.value;
      return {
        handlers: [...handlers],
        namedHandlers: named,
        startupMs: Math.max(1, Math.round(trial.value.startupMs)),
      };
    }
    if (trial.status === "fulfilled") await trial.value.stop(0);
    throw refusal([trial, probe]);
  }

  async deliver(worker: WorkerName, delivery: Delivery, signal: AbortSignal): Promise<DeliveryOutcome> {
    const hosted = this.#workers.get(worker);
    if (hosted === undefined) return { kind: "notDelivered", detail: `Worker ${worker} is not deployed` };
    return await hosted.deliver(delivery, signal);
  }

  isReady(worker: WorkerName): boolean {
    return this.#workers.get(worker)?.current !== undefined;
  }

  onReady(listener: (worker: WorkerName) => void): () => void {
    this.#readyListeners.add(listener);
    return () => void this.#readyListeners.delete(listener);
  }

  /** Calls back for every console line and uncaught exception. Returns the way to stop listening. */
  onLog(listener: (entry: WorkerLogEntry) => void): () => void {
    return this.#log.onLog(listener);
  }

  /**
   * Calls back after every invocation, of one Worker or of all. Reports cost every invocation something, so they are made only
   * while somebody listens: Workers move to a new process when the first listener comes. Returns the way to stop listening.
   */
  onTrace(listener: (trace: WorkerTrace) => void, worker?: WorkerName): () => void {
    return this.#traces.listen(listener, worker);
  }

  /** Serves the Workers' `fetch` handlers over HTTP. May be called for several addresses. */
  async openRouter(options: RouterOptions): Promise<WorkerRouter> {
    this.#stopping.signal.throwIfAborted();
    const router = await WorkerRouter.open(options, {
      find: (name) => this.#workers.get(name as WorkerName),
      names: () => [...this.#workers.keys()],
      requestWaitMs: this.#limits.requestWaitMs,
      logger: this.#options.logger,
    });
    this.#routers.add(router);
    return router;
  }

  /**
   * Opens a port for a Worker, which gets it when the catalog says so before the reservation ends. Port 0: any free one.
   * Throws `HOST_NOT_LOOPBACK`, `PORT_UNAVAILABLE`.
   */
  async reservePort(worker: WorkerName, wanted: ListenAddress): Promise<PortReservation> {
    this.#stopping.signal.throwIfAborted();
    return await this.#ports.reserve(worker, wanted);
  }

  /** A Worker's own port; `undefined`: it has none. */
  portOf(worker: WorkerName): PortDescription | undefined {
    return this.#ports.describe(worker);
  }

  /** `undefined` when the Worker is not deployed. */
  describe(worker: WorkerName): WorkerDescription | undefined {
    const hosted = this.#workers.get(worker);
    if (hosted === undefined) return undefined;
    const { current } = hosted;
    // A process started by `prepare` knows its version from before it was numbered.
    const version = current === undefined || current.version.id === hosted.wanted.id ? hosted.wanted : current.version;
    const [router] = this.#routers;
    return {
      worker,
      state: hosted.state,
      url: router?.urlOf(worker),
      versionId: version.id,
      versionNumber: version.number,
      handlers: version.handlers,
      pid: current?.pid,
      readySince: current === undefined ? undefined : hosted.readySince,
      restarts: hosted.restarts,
      lastError: hosted.lastError,
      inFlight: current?.inFlight ?? 0,
    };
  }

  /** Stops routers and processes, removes what was written. May be called twice. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing ??= this.#close();
    await this.#closing;
  }

  async #close(): Promise<void> {
    this.#unsubscribe();
    this.#stopping.abort();
    const { stopGraceMs } = this.#limits;
    await Promise.all([...this.#routers].map(async (router) => await router.close(stopGraceMs)));
    const prepared = [...this.#prepared.values()];
    for (const { timer } of prepared) clearTimeout(timer);
    await Promise.all([
      ...[...this.#workers.values(), ...this.#retiring].map(async (hosted) => await hosted.stop(stopGraceMs)),
      ...prepared.map(async ({ process }) => await process.stop(0)),
    ]);
    await this.#ports[Symbol.asyncDispose]();
    await this.#socket[Symbol.asyncDispose]();
    await this.#folder[Symbol.asyncDispose]();
    await this.#sitter[Symbol.asyncDispose]();
  }

  /** Makes the processes what the catalog says. */
  #follow(view: CatalogView): void {
    if (this.#stopping.signal.aborted) return;
    this.#ports.follow(wantedPorts(view));
    const deployed = new Set<WorkerName>();
    for (const worker of view.all("worker")) {
      const [version] = view.runningVersions(worker);
      if (version === undefined) continue; // uploaded, never deployed
      deployed.add(worker.name);
      this.#want(worker.name, version);
    }
    for (const [name, hosted] of this.#workers) {
      if (deployed.has(name)) continue;
      this.#workers.delete(name);
      this.#retiring.add(hosted);
      void hosted.retire().finally(() => {
        this.#retiring.delete(hosted);
        this.#log.forget(name);
      });
    }
  }

  #want(name: WorkerName, version: VersionRecord): void {
    const existing = this.#workers.get(name);
    if (existing?.wanted.id === version.id) return;
    const hosted = existing ?? this.#host(name, version);
    let prepared = this.#takePrepared(version.id);
    if (prepared !== undefined && this.#ports.socketOf(name) !== undefined) {
      // A process that was only tried has no port, lest strangers reach what is not deployed.
      void prepared.stop(0);
      prepared = undefined;
    }
    hosted.run(version, prepared);
  }

  #host(name: WorkerName, version: VersionRecord): HostedWorker {
    const { clock, logger } = this.#options;
    const hosted = new HostedWorker(name, version, {
      launch: async (wanted, signal) =>
        await this.#starts.run(
          async () =>
            await this.#launcher.launch(wanted, {
              signal,
              traces: this.#traceSink(name),
              port: await this.#ports.whenKnown(name),
            }),
        ),
      onReady: () => {
        this.#fitTracing(hosted);
        this.#fitPort(hosted);
        for (const listener of this.#readyListeners) listener(name);
      },
      limits: this.#limits,
      clock,
      logger,
    });
    this.#workers.set(name, hosted);
    return hosted;
  }

  /** Moves a Worker to a process that reports, when somebody has begun to listen. One that reports to nobody stays as it is. */
  #fitTracing(hosted: HostedWorker): void {
    const { current } = hosted;
    if (current !== undefined && !current.isTraced && this.#traces.wants(hosted.name)) hosted.renew();
  }

  /** Moves a Worker to a process that has the port it shall have. */
  #fitPort(hosted: HostedWorker): void {
    const { current, name } = hosted;
    if (current === undefined) return; // the next process will have it
    if (current.port !== this.#ports.socketOf(name)) hosted.renew();
    else if (current.port !== undefined) this.#ports.served(name);
  }

  #traceSink(worker: WorkerName): ((text: string) => void) | undefined {
    return this.#traces.wants(worker) ? (text) => this.#traces.take(worker, text) : undefined;
  }

  #keepPrepared(process: WorkerProcess): void {
    const { id } = process.version;
    this.#dropPrepared(id);
    const [oldest] = this.#prepared.keys();
    if (this.#prepared.size >= mostPrepared && oldest !== undefined) this.#dropPrepared(oldest);
    const timer = setTimeout(() => this.#dropPrepared(id), this.#limits.preparedForMs);
    timer.unref();
    this.#prepared.set(id, { process, timer });
  }

  #takePrepared(id: VersionId): WorkerProcess | undefined {
    const prepared = this.#prepared.get(id);
    if (prepared === undefined) return undefined;
    clearTimeout(prepared.timer);
    this.#prepared.delete(id);
    return prepared.process;
  }

  #dropPrepared(id: VersionId): void {
    void this.#takePrepared(id)?.stop(0);
  }
}

/** The trial's words come first; what only the probe met (an experimental flag) second. */
function refusal(results: readonly PromiseSettledResult<unknown>[]): unknown {
  const reasons = results.flatMap((result) => (result.status === "rejected" ? [result.reason as unknown] : []));
  const reason =
    reasons.find((candidate) => candidate instanceof StartFailure) ??
    reasons.find((candidate) => isMillraceError(candidate));
  if (!(reason instanceof StartFailure)) return reason ?? reasons[0];
  return new MillraceError("WORKER_INVALID", reason.message, { cause: reason });
}
