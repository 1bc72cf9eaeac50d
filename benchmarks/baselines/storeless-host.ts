// Millrace's own way of hosting Workers with nothing behind it: sends are answered at once and kept nowhere, batches come from
// memory. What is left of the cost when the store takes no part.

import { join } from "node:path";
import { ControlPlane, createQueue, listenWorker, storeVersion } from "../../packages/millrace/src/broker/index.ts";
import { defaultQueueSettings, parseQueueName } from "../../packages/millrace/src/contract/index.ts";
import { epochMs } from "../../packages/millrace/src/core/index.ts";
import type {
  LeasedMessage,
  LeaseId,
  MessageId,
  QueueRecord,
  SendReceipt,
  VersionId,
  WorkerName,
} from "../../packages/millrace/src/core/index.ts";
import { openMemoryEngine } from "../../packages/millrace/src/engines/memory/index.ts";
import { systemClock as clock, systemRandom as random } from "../../packages/millrace/src/system.ts";
import { WorkerHost } from "../../packages/millrace/src/worker-host/index.ts";
import { messageBody } from "../../packages/millrace/src/cli/bench/message-body.ts";
import { numberMark } from "../../packages/millrace/src/cli/bench/http-load.ts";
import { answerCalls } from "../harness/child-module.ts";

export interface StorelessPlan {
  readonly folder: string;
  readonly source: string;
  readonly texts: Readonly<Record<string, string>>;
}

export interface StorelessAddress {
  /** Of the port that all Workers share. */
  readonly port: number;
  readonly workerPid: number | undefined;
  /** Of the Worker's own port. */
  readonly ownPort: number;
}

export interface DeliverPlan {
  readonly firstNumber: number;
  readonly messages: number;
  readonly bytes: number;
  readonly batch: number;
  readonly concurrency: number;
}

// Only what is wrong.
const quiet = { debug() {}, info() {}, warn() {}, error: console.error };
const name = "bench" as WorkerName;
const deadlineMs = 20_000;

const engine = await openMemoryEngine({ clock });
const controlPlane = await ControlPlane.open(engine.catalog, clock, random);
let host: WorkerHost | undefined;
let queue: QueueRecord | undefined;

async function open({ folder, source, texts }: StorelessPlan): Promise<StorelessAddress> {
  queue = await controlPlane.change("benchmark", (view, context) =>
    createQueue(view, context, { name: parseQueueName("work"), settings: defaultQueueSettings, jurisdiction: null }),
  );
  const backlog = { count: 123_456, bytes: 12_345_678, oldestSentAt: epochMs(1_790_000_000_000) };
  const readiness = { ready: 0, readySince: undefined, nextDueAt: undefined, nextLeaseEndsAt: undefined };
  const receipt: SendReceipt = { backlog, readiness };
  const hosting = await WorkerHost.open({
    controlPlane,
    intake: { send: () => Promise.resolve(receipt) },
    blobs: engine.catalog,
    backlogOf: () => Promise.resolve(backlog),
    clock,
    logger: quiet,
    runFolder: join(folder, "run"),
  });
  host = hosting;
  await engine.catalog.putBlob("main", new TextEncoder().encode(source));
  const { id: queue_id, name: queue_name } = queue;
  const ready = new Promise<void>((resolve, reject) => {
    setTimeout(() => reject(new Error("the Worker did not start")), deadlineMs).unref();
    hosting.onReady(() => resolve());
  });
  await controlPlane.change("benchmark", (view, context) =>
    storeVersion(view, context, {
      draft: {
        id: "00000000-0000-4000-8000-000000000001" as VersionId,
        worker: name,
        main_module: "index.js",
        modules: [{ name: "index.js", kind: "esm", blob: "main", bytes: source.length }],
        compatibility_date: "2026-10-01",
        compatibility_flags: [],
        bindings: [
          { type: "queue", name: "QUEUE", queue: { queue_id, queue_name }, delivery_delay_s: null },
          ...Object.entries(texts).map(([key, text]) => ({ type: "plain_text" as const, name: key, text })),
        ],
        handlers: ["fetch", "queue"],
        annotations: {},
        kept: {},
        etag: "",
        startup_ms: 0,
      },
      basedOn: undefined,
      deploy: { source: "benchmark", annotations: {} },
    }),
  );
  await ready;
  await using reservation = await hosting.reservePort(name, { host: "127.0.0.1", port: 0 });
  const listen = reservation.address;
  const before = hosting.describe(name)?.pid;
  const moved = new Promise<void>((resolve) => {
    hosting.onReady(() => {
      if (hosting.describe(name)?.pid !== before) resolve();
    });
  });
  await controlPlane.change("benchmark", (view, context) => listenWorker(view, context, { name, listen }));
  await moved;
  const router = await hosting.openRouter({ host: "127.0.0.1", port: 0 });
  const workerPid = hosting.describe(name)?.pid;
  return { port: router.port, workerPid, ownPort: listen.port };
}

/** Hands over batches made before, so many at once. Answers how long the deliveries took, in milliseconds. */
async function deliver({ firstNumber, messages, bytes, batch, concurrency }: DeliverPlan): Promise<number> {
  if (host === undefined || queue === undefined) throw new Error("the host is not open");
  const delivering = { host, queue: queue.name };
  const body = messageBody(bytes);
  const sentAt = clock.now();
  const made: LeasedMessage[] = Array.from({ length: messages }, (_, place) => {
    const number = String(firstNumber + place);
    return {
      id: number.padStart(32, "0") as MessageId,
      sentAt,
      contentType: "json",
      body: new TextEncoder().encode(body.replace(numberMark, number.padStart(10, "0"))),
      lease: number as LeaseId,
      attempts: 1,
    };
  });
  const { signal } = new AbortController();
  const startedAt = performance.now();
  let next = 0;
  await Promise.all(
    Array.from({ length: concurrency }, async () => {
      while (next < messages) {
        const batched = made.slice(next, (next += batch));
        const backlog = { count: messages - next, bytes: (messages - next) * bytes, oldestSentAt: sentAt };
        const outcome = await delivering.host.deliver(
          name,
          { queue: delivering.queue, messages: batched, backlog },
          signal,
        );
        if (outcome.kind !== "completed" || outcome.result.outcome !== "ok") throw new Error(JSON.stringify(outcome));
      }
    }),
  );
  return performance.now() - startedAt;
}

answerCalls({ open, deliver }, async () => await host?.[Symbol.asyncDispose]());
