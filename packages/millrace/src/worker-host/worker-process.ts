// One version of a Worker, running: its process, its dispatcher, and the watch over both.
//
// Alive from `start` until its process ends: by itself, by `stop`, or because the watch found it wedged. Whoever owns it decides
// whether batches and requests go to it.

import { setTimeout as delay } from "node:timers/promises";
import { Pool } from "undici";
import type { Delivery, DeliveryOutcome, HandlerError } from "../broker/index.ts";
import type { VersionRecord } from "../core/index.ts";
import { DispatchClient } from "./dispatch-client.ts";
import type { DispatchAnswer } from "./delivery-result.ts";
import type { HostLimits } from "./host-limits.ts";
import type { ListeningSocket } from "./listening-socket.ts";
import { leavePort } from "./port-leaving.ts";
import type { Receipts } from "./receipts.ts";
import { RuntimeProcess } from "./runtime-process.ts";
import type { RuntimeExit, RuntimeStart } from "./runtime-process.ts";
import type { RuntimeOutput } from "./runtime-output.ts";
import { UncaughtErrors } from "./uncaught-errors.ts";
import type { UncaughtError } from "./uncaught-errors.ts";

export interface WorkerProcessOptions {
  readonly version: VersionRecord;
  readonly limits: HostLimits;
  /** An event loop silent for so long is wedged. */
  readonly unresponsiveMs: number;
  /** Its invocations are reported. */
  readonly isTraced: boolean;
  readonly start: Omit<RuntimeStart, "onOutput">;
  readonly sockets: { readonly http: string; readonly dispatch: string; readonly leaving: string | undefined };
  /** Its own port. */
  readonly port: ListeningSocket | undefined;
  /** That its dispatcher gives. */
  readonly receipts: Receipts;
  readonly onOutput: (
    output: Exclude<RuntimeOutput, { readonly kind: "uncaught" | "fetchFailed" | "restated" }>,
  ) => void;
  readonly onError: (error: UncaughtError) => void;
  readonly onWedged: (silentMs: number) => void;
}

const requestPollMs = 20;
/** A request that the router has passed on reaches the process within this. */
const routedRequestMs = 1_000;

export class WorkerProcess {
  readonly version: VersionRecord;
  readonly isTraced: boolean;
  /** Its own port, which it accepts on; `undefined`: it has none. */
  readonly port: ListeningSocket | undefined;
  readonly httpSocket: string;
  /** Reaches the Worker's `fetch` handler. */
  readonly http: Pool;
  /** Resolves as soon as its process has ended. */
  readonly exited: Promise<RuntimeExit>;
  readonly #closed: Promise<void>;
  readonly #runtime: RuntimeProcess;
  readonly #dispatch: DispatchClient;
  readonly #errors: UncaughtErrors;
  readonly #options: WorkerProcessOptions;
  readonly #ended = new AbortController();
  #inFlight = 0;
  #hasWorked = false;
  readonly #whenIdle: (() => void)[] = [];
  #wedgedAfterMs: number | undefined;

  private constructor(runtime: RuntimeProcess, errors: UncaughtErrors, options: WorkerProcessOptions) {
    this.version = options.version;
    this.isTraced = options.isTraced;
    this.port = options.port;
    this.httpSocket = options.sockets.http;
    this.#runtime = runtime;
    this.#errors = errors;
    this.#options = options;
    this.#dispatch = new DispatchClient(
      options.sockets.dispatch,
      options.receipts,
      async () => await this.#endIsKnown(),
    );
    this.http = new Pool("http://worker", {
      socketPath: options.sockets.http,
      pipelining: 1,
      headersTimeout: 0,
      bodyTimeout: 0,
      // workerd closes connections that were idle for 5 s: ours are given up before.
      keepAliveTimeout: 4_000,
    });
    this.exited = runtime.exited;
    this.#closed = this.#closeAtEnd();
    void this.#watch();
  }

  /** Throws `StartFailure`. Aborting the signal ends the start. */
  static async start(options: WorkerProcessOptions, signal: AbortSignal): Promise<WorkerProcess> {
    const errors = new UncaughtErrors(options.onError);
    const onOutput = (output: RuntimeOutput): void => {
      if (output.kind === "uncaught") errors.add({ name: output.name, message: output.message, stack: output.stack });
      else if (output.kind === "restated")
        errors.restate({ name: output.name, message: output.message, stack: undefined });
      else if (output.kind === "fetchFailed") errors.claimForFetch(output.text);
      else if (output.kind !== "console" || !options.receipts.take(output.text)) options.onOutput(output);
    };
    const runtime = await RuntimeProcess.start({ ...options.start, onOutput }, signal);
    return new WorkerProcess(runtime, errors, options);
  }

  get pid(): number {
    return this.#runtime.pid;
  }

  get startupMs(): number {
    return this.#runtime.startupMs;
  }

  get hasExited(): boolean {
    return this.#runtime.hasExited;
  }

  /** Batches and requests it has now. */
  get inFlight(): number {
    return this.#inFlight + this.http.stats.running;
  }

  /** Whether it has brought a batch to a good end. */
  get hasWorked(): boolean {
    return this.#hasWorked;
  }

  /** Hands a batch to the queue handler. Never rejects. */
  async deliver(delivery: Delivery, signal: AbortSignal): Promise<DeliveryOutcome> {
    this.#inFlight += 1;
    const startedAt = performance.now();
    try {
      const { wallTimeMs } = this.#options.limits;
      const outcome = await this.#dispatch.deliver(delivery, { signal, wallTimeMs });
      switch (outcome.kind) {
        case "answered":
          return await this.#completed(outcome.answer, startedAt);
        case "timedOut":
          void this.#checkAfterAbort();
          return outcome;
        case "died":
          return { kind: "died", detail: await this.#causeOfDeath(outcome.detail) };
        case "notDelivered":
        case "cancelled":
          return outcome;
        default:
          return outcome satisfies never;
      }
    } finally {
      this.#inFlight -= 1;
      if (this.#inFlight === 0) for (const resolve of this.#whenIdle.splice(0)) resolve();
    }
  }

  /** Resolves when it has no batch and, waiting `requestsMs` more at the most, no request; or has ended. */
  async idle(requestsMs: number): Promise<void> {
    if (this.#inFlight > 0 && !this.hasExited) {
      const idle = new Promise<void>((resolve) => this.#whenIdle.push(resolve));
      await Promise.race([idle, this.exited]);
    }
    await this.#requestsDone(requestsMs);
  }

  /**
   * Takes it off its own port, if it has one: it accepts no connection any more, from the router neither, and finishes what it has.
   * Another process must take its place before. Never rejects.
   */
  async leavePort(): Promise<void> {
    if (this.port === undefined || this.hasExited) return;
    // What the router has sent is taken by now, however long it goes on.
    await this.#requestsDone(routedRequestMs);
    await leavePort(() => this.#runtime.drain(), this.#options.sockets.leaving);
  }

  async #requestsDone(withinMs: number): Promise<void> {
    const deadline = performance.now() + withinMs;
    // The pool tells nobody when a request has ended. A request on its way must not meet a process that is closing.
    while (this.http.stats.running > 0 && !this.hasExited && performance.now() < deadline) {
      await delay(requestPollMs, undefined, { ref: false });
    }
  }

  /** Lets requests under way finish, for `graceMs` at the most, and ends it. */
  async stop(graceMs: number): Promise<void> {
    await this.#runtime.stop(graceMs);
    await this.#closed;
  }

  kill(): void {
    this.#runtime.kill();
  }

  async #closeAtEnd(): Promise<void> {
    await this.exited;
    this.#ended.abort();
    this.#errors.flush();
    await Promise.all([this.#dispatch[Symbol.asyncDispose](), this.http.destroy()]);
  }

  async #completed(answer: DispatchAnswer, startedAt: number): Promise<DeliveryOutcome> {
    this.#hasWorked ||= answer.result.outcome === "ok";
    for (const { id, message } of answer.undecodable) {
      const text = `message ${id} was not delivered: its stored body is not what its content type says (${message})`;
      this.#options.onOutput({ kind: "runtime", level: "error", text });
    }
    let error: HandlerError | undefined = answer.error;
    if (error === undefined && answer.result.outcome !== "ok") error = await this.#errors.claimForQueue(startedAt);
    else if (error !== undefined) this.#options.onError({ ...error, handler: "queue" });
    return { kind: "completed", result: answer.result, error };
  }

  async #causeOfDeath(otherwise: string): Promise<string> {
    // It was waited for when the batch was judged.
    const exit = this.hasExited ? await this.exited : undefined;
    if (this.#wedgedAfterMs !== undefined) {
      return `the Worker kept its event loop busy for ${this.#wedgedAfterMs / 1_000} seconds, so its process was ended`;
    }
    return exit === undefined ? otherwise : `${exit.detail} while the handler had the batch`;
  }

  /** A connection breaks a moment before the end of the process is known; who hears of the one shall see the other. */
  async #endIsKnown(): Promise<RuntimeExit | undefined> {
    const enough = new AbortController();
    const pause = delay(500, undefined, { ref: false, signal: enough.signal }).catch(() => undefined);
    const exit = await Promise.race([this.exited, pause]);
    enough.abort();
    return exit;
  }

  async #watch(): Promise<void> {
    const { pingIntervalMs } = this.#options.limits;
    const { signal } = this.#ended;
    try {
      for (;;) {
        await delay(pingIntervalMs, undefined, { ref: false, signal });
        await this.#check(this.#options.unresponsiveMs);
      }
    } catch {
      // The process ended: so does the watch.
    }
  }

  /** An aborted handler that does not even let the event loop turn will never give way. */
  async #checkAfterAbort(): Promise<void> {
    await this.#check(this.#options.limits.abortGraceMs);
  }

  async #check(silentMs: number): Promise<void> {
    if (this.#ended.signal.aborted) return;
    if ((await this.#dispatch.ping(silentMs)) !== "silent" || this.#ended.signal.aborted) return;
    this.#wedgedAfterMs ??= silentMs;
    this.#options.onWedged(silentMs);
    this.kill();
  }
}
