// One deployed Worker: keeps a process of the wanted version running, replaces it when another version is wanted.
//
// States. `starting`: no process takes batches yet, the first start is under way. `ready`: `current` takes batches and requests.
// `restarting`: its process died and the next is starting or due. `crashed`: the last start failed; it is tried again later.
// `stopped`: for good. A version that replaces another starts beside it: `current` changes when the new one is ready, and the
// old one retires: it gets nothing new, leaves its own port, finishes its batches, then its requests, then ends. A new version that does not start
// leaves the old one running.

import { setTimeout as delay } from "node:timers/promises";
import type { Delivery, DeliveryOutcome } from "../broker/index.ts";
import type { Clock, EpochMs, Logger, VersionRecord, WorkerName } from "../core/index.ts";
import { afterFailedStart, restartDelay } from "./backoff.ts";
import type { HostLimits } from "./host-limits.ts";
import type { WorkerProcess } from "./worker-process.ts";

export type WorkerState = "starting" | "ready" | "restarting" | "crashed" | "stopped";

export interface HostedWorkerDependencies {
  /** Starts a process of the version; rejects when it does not load. */
  readonly launch: (version: VersionRecord, signal: AbortSignal) => Promise<WorkerProcess>;
  readonly onReady: () => void;
  readonly limits: HostLimits;
  readonly clock: Clock;
  readonly logger: Logger;
}

export class HostedWorker {
  readonly name: WorkerName;
  readonly #dependencies: HostedWorkerDependencies;
  readonly #stopping = new AbortController();
  readonly #retiring = new Set<Promise<void>>();
  readonly #waiters = new Set<() => void>();
  #wanted: VersionRecord;
  #current: WorkerProcess | undefined;
  #currentSince: EpochMs | undefined;
  /** Ends the wait or start of `#pursuit` when something else is wanted. */
  #change = new AbortController();
  #pursuit: Promise<void> | undefined;
  #failures = 0;
  #restarts = 0;
  #lastError: string | undefined;
  #hasStartFailed = false;

  constructor(name: WorkerName, wanted: VersionRecord, dependencies: HostedWorkerDependencies) {
    this.name = name;
    this.#wanted = wanted;
    this.#dependencies = dependencies;
  }

  get wanted(): VersionRecord {
    return this.#wanted;
  }

  /** The process that takes batches and requests now. */
  get current(): WorkerProcess | undefined {
    return this.#current;
  }

  get state(): WorkerState {
    if (this.#stopping.signal.aborted) return "stopped";
    if (this.#current !== undefined) return "ready";
    if (this.#hasStartFailed) return "crashed";
    return this.#restarts > 0 ? "restarting" : "starting";
  }

  get restarts(): number {
    return this.#restarts;
  }

  /** Why it last died or did not start; kept until the Worker is deployed again. */
  get lastError(): string | undefined {
    return this.#lastError;
  }

  get readySince(): EpochMs | undefined {
    return this.#currentSince;
  }

  /** Runs this version from now on. `prepared`: a process of it that already runs, taken over. May be called repeatedly. */
  run(wanted: VersionRecord, prepared?: WorkerProcess): void {
    this.#wanted = wanted;
    this.#failures = 0;
    this.#restarts = 0;
    this.#lastError = undefined;
    this.#hasStartFailed = false;
    this.#interrupt();
    if (prepared !== undefined && !prepared.hasExited) this.#promote(prepared);
    else this.#pursue();
  }

  /** Replaces the process by a new one of the same version, without a gap. */
  renew(): void {
    this.#interrupt();
    this.#pursue({ evenIfRunning: true });
  }

  async deliver(delivery: Delivery, signal: AbortSignal): Promise<DeliveryOutcome> {
    const process = this.#current;
    if (process === undefined) return { kind: "notDelivered", detail: `Worker ${this.name} is ${this.state}` };
    if (process.hasExited) return { kind: "notDelivered", detail: `the process of Worker ${this.name} has just ended` };
    return await process.deliver(delivery, signal);
  }

  /** The process once there is one; `undefined` when there is none after `ms`, or the Worker was stopped. */
  async whenReady(ms: number): Promise<WorkerProcess | undefined> {
    if (this.#current !== undefined || this.state === "stopped") return this.#current;
    const enough = new AbortController();
    const ready = Promise.withResolvers<void>();
    this.#waiters.add(ready.resolve);
    await Promise.race([ready.promise, delay(ms, undefined, { signal: enough.signal }).catch(() => undefined)]);
    enough.abort();
    this.#waiters.delete(ready.resolve);
    return this.#current;
  }

  /** Ends its processes; batches in flight are lost unless the broker has drained them. */
  async stop(graceMs: number): Promise<void> {
    this.#stopping.abort();
    this.#interrupt();
    const current = this.#current;
    this.#current = undefined;
    this.#wake();
    await Promise.all([current?.stop(graceMs), this.#pursuit, ...this.#retiring]);
  }

  /** The Worker was deleted: batches in flight may finish. */
  async retire(): Promise<void> {
    const current = this.#current;
    this.#current = undefined;
    if (current !== undefined) this.#letGo(current);
    this.#interrupt();
    await Promise.all([this.#pursuit, ...this.#retiring]);
  }

  #interrupt(): void {
    this.#change.abort();
    this.#change = new AbortController();
  }

  #wake(): void {
    for (const waiter of this.#waiters) waiter();
  }

  /** Starts the wanted version until it runs; one pursuit at a time. */
  #pursue(options: { readonly evenIfRunning?: boolean } = {}): void {
    const before = this.#pursuit ?? Promise.resolve();
    const change = this.#change.signal;
    const signal = AbortSignal.any([change, this.#stopping.signal]);
    this.#pursuit = before.then(async () => await this.#startUntilReady(signal, options.evenIfRunning === true));
  }

  async #startUntilReady(signal: AbortSignal, evenIfRunning: boolean): Promise<void> {
    const { launch, limits, logger } = this.#dependencies;
    while (!signal.aborted) {
      const wanted = this.#wanted;
      if (!evenIfRunning && this.#current?.version.id === wanted.id) return;
      try {
        const delayMs = restartDelay(this.#failures, limits.firstBackoffMs, limits.longestBackoffMs);
        if (this.#failures > 0) {
          logger.warn("worker.restarting", { worker: this.name, delayMs, restarts: this.#restarts });
        }
        if (delayMs > 0) await delay(delayMs, undefined, { signal, ref: false });
        const process = await launch(wanted, signal);
        if (signal.aborted) {
          await process.stop(0);
          return;
        }
        this.#promote(process);
        return;
      } catch (error) {
        if (signal.aborted) return;
        this.#failures = afterFailedStart(this.#failures);
        this.#hasStartFailed = true;
        this.#lastError = error instanceof Error ? error.message : String(error);
        logger.error("worker.startFailed", { worker: this.name, message: this.#lastError });
      }
    }
  }

  #promote(process: WorkerProcess): void {
    const { clock, logger, onReady } = this.#dependencies;
    const old = this.#current;
    this.#current = process;
    this.#currentSince = clock.now();
    this.#hasStartFailed = false;
    void process.exited.then((exit) => this.#exited(process, exit.detail, exit));
    if (old !== undefined) this.#letGo(old);
    logger.info("worker.ready", { worker: this.name, pid: process.pid, ms: Math.round(process.startupMs) });
    this.#wake();
    onReady();
  }

  #exited(
    process: WorkerProcess,
    detail: string,
    exit: { readonly code: number | null; readonly signal: string | null },
  ): void {
    const { clock, limits, logger } = this.#dependencies;
    const expected = process !== this.#current;
    logger.warn("worker.exited", {
      worker: this.name,
      pid: process.pid,
      expected,
      ...(exit.signal === null ? { code: exit.code } : { signal: exit.signal }),
    });
    if (expected) return;
    this.#current = undefined;
    const ranMs = clock.now() - (this.#currentSince ?? clock.now());
    if (process.hasWorked || ranMs >= limits.healthyAfterMs) this.#failures = 0;
    this.#failures += 1;
    this.#restarts += 1;
    this.#lastError = detail;
    this.#pursue();
  }

  #letGo(process: WorkerProcess): void {
    const { limits } = this.#dependencies;
    const retired = (async () => {
      await Promise.race([process.leavePort(), aborted(this.#stopping.signal)]);
      // Each batch is bounded by the wall-time limit. A stop of the whole host waits neither for them nor for requests.
      await Promise.race([process.idle(limits.retireGraceMs), aborted(this.#stopping.signal)]);
      await process.stop(this.#stopping.signal.aborted ? limits.stopGraceMs : limits.retireGraceMs);
    })().finally(() => this.#retiring.delete(retired));
    this.#retiring.add(retired);
  }
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
