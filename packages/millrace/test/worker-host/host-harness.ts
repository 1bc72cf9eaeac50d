// A worker host with real workerd processes over the memory engine, and the steps of its tests.

import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { request } from "undici";
import { ControlPlane, createQueue, Intake, listenWorker } from "../../src/broker/index.ts";
import type { Delivery, DeliveryOutcome } from "../../src/broker/index.ts";
import { defaultQueueSettings, parseQueueName } from "../../src/contract/index.ts";
import { deleteRecord, epochMs, milliseconds, noWindow, putRecord } from "../../src/core/index.ts";
import type {
  BindingRecord,
  ContentType,
  Holder,
  LeasedMessage,
  LeaseId,
  MessageId,
  ModuleKind,
  QueueName,
  QueueRecord,
  StorageEngine,
  VersionId,
  VersionRecord,
  WorkerName,
} from "../../src/core/index.ts";
import { openMemoryEngine } from "../../src/engines/memory/index.ts";
import { systemClock, systemRandom } from "../../src/system.ts";
import { WorkerHost } from "../../src/worker-host/index.ts";
import type { HostLimits, PreparedVersion, WorkerLogEntry, WorkerRouter } from "../../src/worker-host/index.ts";
import { recordingLogger } from "../support/broker-harness.ts";

export interface Script {
  readonly name?: string;
  /** The main module, `index.js`. */
  readonly source: string;
  readonly kind?: ModuleKind;
  readonly modules?: readonly {
    readonly name: string;
    readonly kind: ModuleKind;
    readonly content: string | Uint8Array;
  }[];
  readonly bindings?: readonly BindingRecord[];
  readonly date?: string;
  readonly flags?: readonly string[];
  readonly kept?: VersionRecord["kept"];
}

const day = "2026-09-01";
/** Whatever a test waits for comes long before; a failure then says what was missing. */
const deadlineMs = 20_000;

export class HostHarness implements AsyncDisposable {
  readonly log: ReturnType<typeof recordingLogger>;
  readonly entries: WorkerLogEntry[] = [];
  readonly engine: StorageEngine;
  readonly controlPlane: ControlPlane;
  readonly host: WorkerHost;
  readonly runFolder: string;
  readonly #watchers = new Set<() => void>();
  #versions = 0;
  #isOwner = true;
  #keepsRecords = false;
  #router: WorkerRouter | undefined;

  private constructor(
    log: ReturnType<typeof recordingLogger>,
    engine: StorageEngine,
    controlPlane: ControlPlane,
    host: WorkerHost,
    runFolder: string,
  ) {
    this.log = log;
    this.engine = engine;
    this.controlPlane = controlPlane;
    this.host = host;
    this.runFolder = runFolder;
  }

  static async open(
    limits: Partial<HostLimits> = {},
    over?: HostHarness,
    records?: string,
    openToOthers = false,
  ): Promise<HostHarness> {
    const runFolder = records ?? (await mkdtemp(join(tmpdir(), "millrace-test-")));
    const engine = over?.engine ?? (await openMemoryEngine({ clock: systemClock }));
    const controlPlane = over?.controlPlane ?? (await ControlPlane.open(engine.catalog, systemClock, systemRandom));
    const log = recordingLogger();
    const intake = new Intake({
      engine,
      clock: systemClock,
      random: systemRandom,
      catalog: () => controlPlane.view,
    });
    const host = await WorkerHost.open({
      controlPlane,
      intake,
      blobs: engine.catalog,
      backlogOf: async (queue) => (await engine.metrics(queue)).backlog,
      clock: systemClock,
      logger: log,
      runFolder,
      openToOthers,
      limits: { stopGraceMs: 500, ...limits },
    });
    const harness = new HostHarness(log, engine, controlPlane, host, runFolder);
    harness.#isOwner = over === undefined;
    harness.#keepsRecords = records !== undefined;
    host.onLog((entry) => {
      harness.entries.push(entry);
      harness.#changed();
    });
    host.onReady(() => harness.#changed());
    return harness;
  }

  /** Another host over the same catalog, as another server would be. */
  static async over(other: HostHarness): Promise<HostHarness> {
    return await HostHarness.open({}, other);
  }

  /** Queues made by name. */
  async queue(name: string): Promise<QueueRecord> {
    return await this.controlPlane.change("test", (view, context) =>
      createQueue(view, context, {
        name: parseQueueName(name),
        settings: defaultQueueSettings,
        jurisdiction: null,
      }),
    );
  }

  async version(script: Script): Promise<{ version: VersionRecord; contents: Map<string, Uint8Array> }> {
    const encoder = new TextEncoder();
    const all = [
      { name: "index.js", kind: script.kind ?? ("esm" as const), content: script.source },
      ...(script.modules ?? []),
    ];
    const contents = new Map(
      all.map(({ name, content }) => [name, typeof content === "string" ? encoder.encode(content) : content]),
    );
    this.#versions += 1;
    const number = this.#versions;
    for (const { name } of all) {
      await this.engine.catalog.putBlob(`blob-${number}-${name}`, contents.get(name) ?? new Uint8Array());
    }
    const version: VersionRecord = {
      id: `00000000-0000-4000-8000-${String(number).padStart(12, "0")}` as VersionId,
      worker: (script.name ?? "app") as WorkerName,
      number,
      created_at_ms: systemClock.now(),
      main_module: "index.js",
      modules: all.map(({ name, kind }) => ({
        name,
        kind,
        blob: `blob-${number}-${name}`,
        bytes: contents.get(name)?.byteLength ?? 0,
      })),
      compatibility_date: script.date ?? day,
      compatibility_flags: script.flags ?? [],
      bindings: script.bindings ?? [],
      handlers: ["fetch", "queue"],
      annotations: {},
      kept: script.kept ?? {},
      etag: "",
      startup_ms: 0,
    };
    return { version, contents };
  }

  async prepare(script: Script): Promise<PreparedVersion> {
    const { version, contents } = await this.version(script);
    return await this.host.prepare(version, contents);
  }

  /** Stores and deploys a version, tried before or not, and waits until it runs. */
  async deploy(script: Script, options: { readonly tried?: boolean } = {}): Promise<VersionRecord> {
    const { version, contents } = await this.version(script);
    if (options.tried === true) await this.host.prepare(version, contents);
    await this.store(version);
    await this.until(() => this.#runs(version), `version ${version.number} of ${version.worker} runs`);
    return version;
  }

  async store(version: VersionRecord): Promise<void> {
    const { listen } = this.controlPlane.view.get("worker", version.worker) ?? {};
    await this.controlPlane.change("test", (_view, { now }) => ({
      operations: [
        putRecord("version", version.id, version),
        putRecord("worker", version.worker, {
          name: version.worker,
          tag: "0".repeat(32),
          created_at_ms: now,
          modified_at_ms: now,
          deployments: [
            {
              id: version.id,
              created_at_ms: now,
              source: "test",
              strategy: "percentage",
              versions: [{ version_id: version.id, percentage: 100 }],
              annotations: {},
            },
          ],
          last_version: version.number,
          subdomain: { enabled: true, previews_enabled: false },
          tags: [],
          settings: {},
          ...(listen !== undefined && { listen }),
        }),
      ],
      audit: [],
      result: undefined,
    }));
  }

  /** Gives the Worker a port of its own, as the API does it; answers the port. */
  async listen(port = 0, options: { readonly worker?: string; readonly host?: string } = {}): Promise<number> {
    const name = (options.worker ?? "app") as WorkerName;
    await using reservation = await this.host.reservePort(name, { host: options.host ?? "127.0.0.1", port });
    const listen = reservation.address;
    await this.controlPlane.change("test", (view, context) => listenWorker(view, context, { name, listen }));
    return listen.port;
  }

  async unlisten(name = "app" as WorkerName): Promise<void> {
    await this.controlPlane.change("test", (view, context) => listenWorker(view, context, { name, listen: undefined }));
  }

  async remove(name: string): Promise<void> {
    await this.controlPlane.change("test", () => ({
      operations: [deleteRecord("worker", name)],
      audit: [],
      result: undefined,
    }));
  }

  /** The Worker's answer to a request through the router. */
  async fetch(path = "/", options: { readonly worker?: string; readonly body?: string } = {}): Promise<string> {
    const router = await this.router();
    const response = await request(`http://127.0.0.1:${router.port}${path}`, {
      method: options.body === undefined ? "GET" : "POST",
      body: options.body ?? null,
      headers: { host: `${options.worker ?? "app"}.localhost:${router.port}` },
    });
    return await response.body.text();
  }

  async router(defaultWorker?: string): Promise<WorkerRouter> {
    this.#router ??= await this.host.openRouter({ host: "127.0.0.1", port: 0, defaultWorker });
    return this.#router;
  }

  async deliver(
    messages: readonly LeasedMessage[],
    options: { readonly worker?: string; readonly queue?: string; readonly signal?: AbortSignal } = {},
  ): Promise<DeliveryOutcome> {
    const delivery: Delivery = {
      queue: (options.queue ?? "events") as QueueName,
      messages,
      backlog: { count: 7, bytes: 70, oldestSentAt: epochMs(1_700_000_000_000) },
    };
    const signal = options.signal ?? new AbortController().signal;
    return await this.host.deliver((options.worker ?? "app") as WorkerName, delivery, signal);
  }

  /** Folders of the processes there are now. */
  async processFolders(): Promise<readonly string[]> {
    const [record] = await readdir(this.runFolder);
    const { folder } = JSON.parse(await readFile(join(this.runFolder, record ?? ""), "utf8")) as {
      readonly folder: string;
    };
    return (await readdir(folder)).filter((name) => /^\d+$/.test(name));
  }

  /** Everything in the queue, leased. */
  async stored(queue: QueueRecord): Promise<readonly LeasedMessage[]> {
    const { messages } = await this.engine.lease(queue.id, {
      max: 100,
      window: noWindow(1),
      visibility: milliseconds(60_000),
      holder: "server:test" as Holder,
    });
    return messages;
  }

  /** Texts of the Worker's console so far. */
  console(): string[] {
    return this.entries.flatMap((entry) => (entry.kind === "console" ? [entry.text] : []));
  }

  /** Waits for a line of the console. */
  async line(text: string): Promise<void> {
    await this.until(() => this.console().some((line) => line.includes(text)), `the console says ${text}`);
  }

  async error(text: string): Promise<Extract<WorkerLogEntry, { readonly kind: "error" }>> {
    const find = (): WorkerLogEntry | undefined =>
      this.entries.find((entry) => entry.kind === "error" && entry.message.includes(text));
    await this.until(() => find() !== undefined, `an error says ${text}`);
    return find() as Extract<WorkerLogEntry, { readonly kind: "error" }>;
  }

  /** Waits until the condition holds; looked at after everything the host says. */
  async until(condition: () => boolean, what: string): Promise<void> {
    if (condition()) return;
    await new Promise<void>((resolve, reject) => {
      const look = (): void => {
        if (!condition()) return;
        end();
        resolve();
      };
      // Some things (a process that ended) are told to the log alone.
      const poll = setInterval(look, 10);
      const timer = setTimeout(() => {
        end();
        reject(
          new Error(`not within ${deadlineMs} ms: ${what}\n${JSON.stringify(this.log.events.slice(-20), null, 1)}`),
        );
      }, deadlineMs);
      const end = (): void => {
        clearInterval(poll);
        clearTimeout(timer);
        this.#watchers.delete(look);
      };
      this.#watchers.add(look);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.host[Symbol.asyncDispose]();
    if (this.#isOwner) {
      this.controlPlane[Symbol.dispose]();
      await this.engine[Symbol.asyncDispose]();
    }
    if (!this.#keepsRecords) await rm(this.runFolder, { recursive: true, force: true });
  }

  #runs(version: VersionRecord): boolean {
    const description = this.host.describe(version.worker);
    return description?.state === "ready" && description.versionId === version.id;
  }

  #changed(): void {
    for (const watcher of this.#watchers) watcher();
  }
}

let made = 0;

/** A leased message with a body as a producer would have stored it. */
export function message(
  body: string | Uint8Array,
  options: { readonly type?: ContentType; readonly attempts?: number; readonly id?: string } = {},
): LeasedMessage {
  made += 1;
  return {
    id: (options.id ?? made.toString(16).padStart(32, "0")) as MessageId,
    sentAt: epochMs(1_790_000_000_000),
    contentType: options.type ?? "text",
    body: typeof body === "string" ? new TextEncoder().encode(body) : body,
    lease: `lease-${made}` as LeaseId,
    attempts: options.attempts ?? 1,
  };
}

/** A queue binding named EVENTS. */
export function eventsBinding(queue: QueueRecord): BindingRecord {
  return {
    type: "queue",
    name: "EVENTS",
    queue: { queue_id: queue.id, queue_name: queue.name },
    delivery_delay_s: null,
  };
}
