// The API over the real broker and the memory engine, under simulated time, called without a network.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Fastify from "fastify";
import type { FastifyInstance } from "fastify";
import { createApi, tokenAuthenticator } from "../../src/api/index.ts";
import type { Api, DeployTarget, WorkerStatus, WorkerTrace } from "../../src/api/index.ts";
import { Backups, Broker, ControlPlane, Intake } from "../../src/broker/index.ts";
import { MillraceError } from "../../src/core/index.ts";
import type { Clock, Holder, ListenAddress, StorageEngine, VersionRecord, WorkerName } from "../../src/core/index.ts";
import { openMemoryEngine } from "../../src/engines/memory/index.ts";
import { wantedPorts, WorkerPorts } from "../../src/worker-host/worker-ports.ts";
import type { PortDescription, PortReservation } from "../../src/worker-host/worker-ports.ts";
import { recordingLogger, ScriptedTarget } from "../support/broker-harness.ts";
import { SimulatedTime } from "../support/simulated-time.ts";

export const accountId = "a".repeat(32);
export const adminToken = "mr_test-administrator";

/** Stands in for the runtime: finds handlers in the source's text, and refuses what says `syntax error`. */
class TextHost implements DeployTarget {
  readonly prepared: VersionRecord[] = [];
  /** Real sockets that nobody accepts on. */
  readonly ports = new WorkerPorts({
    openToOthers: false,
    serverPorts: [8787, 8788],
    retryMs: 60_000,
    logger: recordingLogger(),
    onChange: () => undefined,
  });
  readonly #listeners = new Set<(trace: WorkerTrace) => void>();

  prepare(
    version: VersionRecord,
    modules: ReadonlyMap<string, Uint8Array>,
  ): Promise<{ handlers: string[]; startupMs: number }> {
    this.prepared.push(version);
    const source = new TextDecoder().decode(modules.get(version.main_module));
    if (source.includes("syntax error"))
      throw new MillraceError("WORKER_INVALID", "SyntaxError: Unexpected identifier 'error'");
    const handlers = ["fetch", "queue", "scheduled"].filter((name) => source.includes(`${name}(`));
    return Promise.resolve({ handlers, startupMs: 5 });
  }

  describe(worker: string): WorkerStatus {
    return {
      state: "ready",
      url: `http://${worker}.localhost:8787`,
      versionId: this.prepared.findLast((version) => version.worker === worker)?.id ?? "",
      pid: 1,
      readySince: 0,
      restarts: 0,
      lastError: undefined,
      inFlight: 0,
    };
  }

  async reservePort(worker: WorkerName, wanted: ListenAddress): Promise<PortReservation> {
    return await this.ports.reserve(worker, wanted);
  }

  portOf(worker: WorkerName): PortDescription | undefined {
    return this.ports.describe(worker);
  }

  onTrace(listener: (trace: WorkerTrace) => void, worker: string): () => void {
    const forWorker = (trace: WorkerTrace): void => {
      if (trace.scriptName === worker) listener(trace);
    };
    this.#listeners.add(forWorker);
    return () => void this.#listeners.delete(forWorker);
  }

  trace(trace: WorkerTrace): void {
    for (const listener of this.#listeners) listener(trace);
  }

  get watchers(): number {
    return this.#listeners.size;
  }
}

export interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly code: number | undefined;
  readonly message: string;
  readonly result: unknown;
  readonly envelope: {
    readonly success: boolean;
    readonly errors: readonly { readonly code: number; readonly message: string }[];
    readonly messages: readonly string[];
    readonly result: unknown;
    readonly result_info?: Readonly<Record<string, number>>;
  };
}

export interface CallOptions {
  readonly token?: string | undefined;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as it is, instead of JSON. */
  readonly raw?: string | Buffer;
}

export interface HarnessOptions {
  readonly requestLimit?: number;
  /** The memory engine unless given. */
  readonly openEngine?: (clock: Clock) => Promise<StorageEngine>;
}

export class ApiHarness implements AsyncDisposable {
  readonly time: SimulatedTime;
  readonly log = recordingLogger();
  readonly host = new TextHost();
  readonly engine: StorageEngine;
  readonly controlPlane: ControlPlane;
  readonly broker: Broker;
  readonly api: Api;
  /** Takes injected requests to the API's HTTP server, as if they had come over a connection. */
  readonly door: FastifyInstance;
  readonly backups: Backups;
  /** Where backups are written. */
  readonly folder: string;

  private constructor(parts: {
    time: SimulatedTime;
    engine: StorageEngine;
    controlPlane: ControlPlane;
    broker: Broker;
    backups: Backups;
    folder: string;
    requestLimit: number | undefined;
  }) {
    this.time = parts.time;
    this.engine = parts.engine;
    this.controlPlane = parts.controlPlane;
    this.broker = parts.broker;
    this.backups = parts.backups;
    this.folder = parts.folder;
    const { time, engine, controlPlane, broker, host, log } = this;
    controlPlane.onChange((view) => host.ports.follow(wantedPorts(view)));
    const random = { bytes: (count: number) => randomBytes(count) };
    const catalog = () => controlPlane.view;
    this.api = createApi({
      backups: this.backups,
      engine,
      controlPlane,
      broker,
      host,
      clock: time,
      random,
      logger: log,
      intake: new Intake({ engine, clock: time, random, catalog }),
      accountId,
      version: "0.0.0-test",
      requestLimit: parts.requestLimit,
      authenticate: tokenAuthenticator({ adminToken, catalog, clock: time }),
    });
    this.door = doorTo(this.api);
  }

  static async open(options: HarnessOptions = {}): Promise<ApiHarness> {
    const time = new SimulatedTime();
    const { openEngine = async (clock: Clock) => await openMemoryEngine({ clock }) } = options;
    const engine = await openEngine(time);
    const controlPlane = await ControlPlane.open(engine.catalog, time, { bytes: (count) => randomBytes(count) });
    const broker = await Broker.start({
      engine,
      controlPlane,
      target: new ScriptedTarget(),
      clock: time,
      timers: time,
      logger: recordingLogger(),
      holder: `server:${"0".repeat(32)}` as Holder,
    });
    const folder = await mkdtemp(join(tmpdir(), "millrace-api-"));
    const random = { bytes: (count: number) => randomBytes(count) };
    const logger = recordingLogger();
    const backups = await Backups.open({ engine, folder, clock: time, timers: time, random, logger });
    return new ApiHarness({ time, engine, controlPlane, broker, backups, folder, requestLimit: options.requestLimit });
  }

  /** Calls below the account; a path that begins with `~` is below the API's root. Never throws for a status. */
  async call(method: string, path: string, body?: unknown, options: CallOptions = {}): Promise<Reply> {
    const token = "token" in options ? options.token : adminToken;
    const payload = options.raw ?? (body === undefined ? undefined : JSON.stringify(body));
    const response = await this.door.inject({
      method: method as "GET",
      url: path.startsWith("~") ? `/client/v4${path.slice(1)}` : `/client/v4/accounts/${accountId}${path}`,
      headers: { ...(token !== undefined && { authorization: `Bearer ${token}` }), ...options.headers },
      ...(payload !== undefined && { payload }),
    });
    assert.equal(response.headers["content-type"], "application/json");
    const envelope = JSON.parse(response.payload) as Reply["envelope"];
    assert.equal(envelope.success, response.statusCode < 400, response.payload);
    return {
      status: response.statusCode,
      headers: response.headers,
      code: envelope.errors[0]?.code,
      message: envelope.errors[0]?.message ?? "",
      result: envelope.result,
      envelope,
    };
  }

  /** A call that must succeed. */
  async must<T = unknown>(method: string, path: string, body?: unknown, options?: CallOptions): Promise<T> {
    const reply = await this.call(method, path, body, options);
    assert.equal(reply.status, 200, `${method} ${path}: ${reply.message}`);
    return reply.result as T;
  }

  /** Creates a queue and answers its path. */
  async queue(name: string, settings: object = {}): Promise<string> {
    const { queue_id } = await this.must<{ queue_id: string }>("POST", "/queues", { queue_name: name, settings });
    return `/queues/${queue_id}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.api.close();
    await this.host.ports[Symbol.asyncDispose]();
    await this.backups[Symbol.asyncDispose]();
    await this.broker.stop(AbortSignal.abort());
    this.controlPlane[Symbol.dispose]();
    await this.engine[Symbol.asyncDispose]();
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** What Fastify's own `inject` calls is the framework alone; before it stands the fast lane, which the door does not go around. */
function doorTo(api: Api): FastifyInstance {
  const paths = new WeakMap<object, string>();
  const door = Fastify({
    // Whatever the path is, the door's only route takes it.
    rewriteUrl: (request) => {
      paths.set(request, request.url ?? "");
      return "/";
    },
  });
  door.addHook("onRequest", async ({ raw: request }, reply) => {
    reply.hijack();
    await api.server.ready();
    request.url = paths.get(request) ?? "";
    api.server.server.emit("request", request, reply.raw);
  });
  return door;
}

/** A refusal as a test states it: status and code. */
export function refusal({ status, code }: Reply): string {
  return `${status} ${code}`;
}
