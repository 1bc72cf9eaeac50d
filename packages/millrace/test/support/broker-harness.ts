// Core, broker and an engine under simulated time, with a consumer that the test scripts.

import { ControlPlane } from "../../src/broker/control-plane.ts";
import { attachConsumer, Broker, createQueue, Intake } from "../../src/broker/index.ts";
import type { Delivery, DeliveryOutcome, PushTarget } from "../../src/broker/index.ts";
import {
  defaultQueueSettings,
  parsePullConsumerSettings,
  parseQueueName,
  parseWorkerConsumerSettings,
} from "../../src/contract/index.ts";
import type { QueueSettings, RawFields } from "../../src/contract/index.ts";
import { failedDelivery, putRecord } from "../../src/core/index.ts";
import type {
  DeliveryResult,
  Holder,
  LogFields,
  Logger,
  QueueName,
  QueueRecord,
  StorageEngine,
  VersionId,
  VersionRecord,
  WorkerName,
  WorkerRecord,
} from "../../src/core/index.ts";
import { openMemoryEngine } from "../../src/engines/memory/index.ts";
import { SimulatedTime } from "./simulated-time.ts";

/** What one invocation of the scripted handler answers; it may wait as long as it likes. */
export type Handler = (delivery: Delivery, signal: AbortSignal) => DeliveryOutcome | Promise<DeliveryOutcome>;

export const done = (fields: Partial<DeliveryResult> = {}): DeliveryOutcome => ({
  kind: "completed",
  result: { ...failedDelivery("ok"), ...fields },
  error: undefined,
});

export const threw = (): DeliveryOutcome => ({
  kind: "completed",
  result: failedDelivery("exception"),
  error: { name: "Error", message: "mail is down", stack: undefined },
});

export class ScriptedTarget implements PushTarget {
  /** Every delivery, in order. */
  readonly deliveries: Delivery[] = [];
  handler: Handler = () => done();
  running = 0;
  mostRunning = 0;
  #ready = true;
  readonly #listeners = new Set<(worker: WorkerName) => void>();

  async deliver(_worker: WorkerName, delivery: Delivery, signal: AbortSignal): Promise<DeliveryOutcome> {
    this.deliveries.push(delivery);
    this.running += 1;
    this.mostRunning = Math.max(this.mostRunning, this.running);
    try {
      return await this.handler(delivery, signal);
    } finally {
      this.running -= 1;
    }
  }

  isReady(): boolean {
    return this.#ready;
  }

  setReady(ready: boolean): void {
    this.#ready = ready;
    if (ready) for (const listener of this.#listeners) listener(worker);
  }

  onReady(listener: (worker: WorkerName) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }
}

const worker = "my-app" as WorkerName;

export interface LoggedEvent {
  readonly level: keyof Logger;
  readonly event: string;
  readonly fields: LogFields;
}

/** A logger that keeps what it is told. */
export function recordingLogger(): Logger & { readonly events: LoggedEvent[] } {
  const events: LoggedEvent[] = [];
  const at =
    (level: keyof Logger) =>
    (event: string, fields: LogFields = {}): void =>
      void events.push({ level, event, fields });
  return { events, debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

export class BrokerHarness implements AsyncDisposable {
  readonly target = new ScriptedTarget();
  readonly log = recordingLogger();
  readonly time: SimulatedTime;
  readonly engine: StorageEngine;
  readonly controlPlane: ControlPlane;
  readonly intake: Intake;
  #broker: Broker | undefined;
  #starts = 0;

  private constructor(time: SimulatedTime, engine: StorageEngine, controlPlane: ControlPlane) {
    this.time = time;
    this.engine = engine;
    this.controlPlane = controlPlane;
    this.intake = new Intake({
      engine,
      clock: time,
      random: countingRandom(),
      catalog: () => controlPlane.view,
    });
  }

  get broker(): Broker {
    if (this.#broker === undefined) throw new Error("the broker was not started");
    return this.#broker;
  }

  /** `wrap`: what the broker sees of the engine. */
  static async open(wrap = (engine: StorageEngine): StorageEngine => engine): Promise<BrokerHarness> {
    const time = new SimulatedTime();
    const engine = wrap(await openMemoryEngine({ clock: time }));
    const controlPlane = await ControlPlane.open(engine.catalog, time, countingRandom());
    const harness = new BrokerHarness(time, engine, controlPlane);
    await harness.startBroker();
    return harness;
  }

  async startBroker(): Promise<void> {
    this.#broker = await Broker.start({
      engine: this.engine,
      controlPlane: this.controlPlane,
      target: this.target,
      clock: this.time,
      timers: this.time,
      logger: this.log,
      holder: `server:${String((this.#starts += 1)).padStart(32, "0")}` as Holder,
    });
  }

  async queue(name: string, settings: Partial<QueueSettings> = {}): Promise<QueueRecord> {
    return await this.controlPlane.change("test", (view, context) =>
      createQueue(view, context, {
        name: parseQueueName(name),
        settings: { ...defaultQueueSettings, ...settings },
        jurisdiction: null,
      }),
    );
  }

  /** Attaches a push consumer; `settings` as the REST API names them. */
  async push(queue: QueueRecord, settings: RawFields = {}, deadLetterQueue?: string): Promise<void> {
    await this.#deployWorker();
    await this.controlPlane.change("test", (view, context) =>
      attachConsumer(view, context, {
        queue: queue.id,
        definition: {
          type: "worker",
          script: worker,
          environment: undefined,
          deadLetterQueue: deadLetterQueue as QueueName | undefined,
          settings: parseWorkerConsumerSettings(settings),
        },
      }),
    );
  }

  async pull(queue: QueueRecord, settings: RawFields = {}, deadLetterQueue?: string): Promise<void> {
    await this.controlPlane.change("test", (view, context) =>
      attachConsumer(view, context, {
        queue: queue.id,
        definition: {
          type: "http_pull",
          deadLetterQueue: deadLetterQueue as QueueName | undefined,
          settings: parsePullConsumerSettings(settings),
        },
      }),
    );
  }

  /** Sends texts as one batch. */
  async send(queue: QueueRecord, ...texts: readonly string[]): Promise<void> {
    await this.intake.send(
      queue.id,
      texts.map((text) => ({ contentType: "text", body: new TextEncoder().encode(text), delaySeconds: undefined })),
    );
  }

  /** Texts and attempts of every delivery so far. */
  delivered(): string[][] {
    return this.target.deliveries.map((delivery) =>
      delivery.messages.map((message) => `${textOf(message)}#${message.attempts}`),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const giveUp = new AbortController();
    giveUp.abort();
    await this.broker.stop(giveUp.signal);
    this.controlPlane[Symbol.dispose]();
    await this.engine[Symbol.asyncDispose]();
  }

  async #deployWorker(): Promise<void> {
    if (this.controlPlane.view.get("worker", worker) !== undefined) return;
    const version = "00000000-0000-4000-8000-000000000001" as VersionId;
    await this.controlPlane.change("test", (_view, { now }) => {
      const workerRecord: WorkerRecord = {
        name: worker,
        tag: "0".repeat(32),
        created_at_ms: now,
        modified_at_ms: now,
        deployments: [
          {
            id: "1",
            created_at_ms: now,
            source: "test",
            strategy: "percentage",
            versions: [{ version_id: version, percentage: 100 }],
            annotations: {},
          },
        ],
        last_version: 1,
        subdomain: { enabled: true, previews_enabled: false },
        tags: [],
        settings: {},
      };
      const versionRecord: VersionRecord = {
        id: version,
        worker,
        number: 1,
        created_at_ms: now,
        main_module: "index.js",
        modules: [],
        compatibility_date: "2026-10-01",
        compatibility_flags: [],
        bindings: [],
        handlers: ["queue"],
        annotations: {},
        kept: {},
        etag: "",
        startup_ms: 1,
      };
      return {
        operations: [putRecord("worker", worker, workerRecord), putRecord("version", version, versionRecord)],
        audit: [],
        result: undefined,
      };
    });
  }
}

export function textOf(message: { readonly body: Uint8Array }): string {
  return new TextDecoder().decode(message.body);
}

function countingRandom(): { bytes(count: number): Uint8Array } {
  let counter = 0;
  return {
    bytes(count: number): Uint8Array {
      const bytes = new Uint8Array(count);
      for (let index = 0; index < count; index += 8) {
        counter += 1;
        for (let at = index, rest = counter; at < Math.min(index + 8, count); at += 1, rest = Math.floor(rest / 256))
          bytes[at] = rest % 256;
      }
      return bytes;
    },
  };
}
