// Numbers for Prometheus: what the store counts is read when somebody asks, the rest is counted from the events the log shows.

import { setTimeout as delay } from "node:timers/promises";
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from "prom-client";
import { imbalanceOf } from "../core/index.ts";
import type { Accounting, CountedQueue, LogFields, QueueMetrics } from "../core/index.ts";
import type { EventObserver } from "./observers.ts";

export interface QueueReading
  extends Pick<QueueMetrics, "backlog" | "setAside">, Pick<CountedQueue, "accounting" | "held"> {
  readonly queue: string;
}

export interface MetricsOptions {
  /** Every queue and what the store counts of it, read at each scrape; must be cheap however large the backlogs are. */
  readonly queues: () => Promise<readonly QueueReading[]>;
  /** Milliseconds since the Unix epoch. */
  readonly now: () => number;
  /** Also report this process, from the first time it is asked: memory, CPU, event loop. */
  readonly process: boolean;
}

export interface Metrics {
  /** Counts an event; give it to `observeLogger`. */
  readonly observe: EventObserver;
  readonly contentType: string;
  /** The text of `/metrics`. */
  render(): Promise<string>;
}

/** How often the event loop is looked at, ms. */
const eventLoopMs = 10;
const sendBuckets = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5];
const batchBuckets = [0.005, 0.025, 0.1, 0.5, 1, 5, 15, 60, 300, 900];

export function createMetrics({ queues, now, process: ofProcess }: MetricsOptions): Metrics {
  const registry = new Registry();
  const registers = [registry];
  let watching: Promise<void> | undefined;
  /**
   * From the first scrape on: the watch on the event loop wakes the process a hundred times a second, 1 % of a core that an idle
   * server need not use. It has nothing to say before it has looked once.
   */
  const watchProcess = async (): Promise<void> => {
    collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: eventLoopMs });
    await delay(2 * eventLoopMs);
  };

  const perQueue = (name: string, help: string): Counter<"queue"> =>
    new Counter({ name, help, labelNames: ["queue"], registers });
  const perWorker = (name: string, help: string): Counter<"worker"> =>
    new Counter({ name, help, labelNames: ["worker"], registers });

  /** Counted by the store, over restarts. */
  const accounted: Readonly<Record<keyof Accounting, Counter<"queue">>> = {
    accepted: perQueue(
      "millrace_messages_accepted_total",
      "Messages that came in: sent, redriven, or as dead letters.",
    ),
    acked: perQueue("millrace_messages_acked_total", "Messages that a consumer was done with."),
    deadLettered: perQueue("millrace_messages_dead_lettered_total", "Messages moved to a dead letter queue."),
    expired: perQueue("millrace_messages_expired_total", "Messages deleted by retention."),
    purged: perQueue("millrace_messages_purged_total", "Messages deleted by a purge."),
    dropped: perQueue("millrace_messages_dropped_total", "Messages given up without a dead letter queue."),
  };
  const delivered = perQueue(
    "millrace_messages_delivered_total",
    "Messages handed to a Worker, every attempt counted.",
  );
  const batches = perQueue("millrace_batches_delivered_total", "Batches handed to a Worker.");
  const retried = perQueue("millrace_messages_retried_total", "Messages to be delivered again.");
  const failed = new Counter({
    name: "millrace_batches_failed_total",
    help: "Batches whose handler threw, was aborted or died.",
    labelNames: ["queue", "outcome"],
    registers,
  });
  const workerErrors = perWorker("millrace_worker_errors_total", "Exceptions that a Worker did not catch.");
  const workerRestarts = perWorker(
    "millrace_worker_restarts_total",
    "Worker processes started again after they ended.",
  );
  const deploys = perWorker("millrace_deploys_total", "Versions of a Worker that went live.");
  const sendTime = new Histogram({
    name: "millrace_send_duration_seconds",
    help: "From a send's arrival to its answer.",
    buckets: sendBuckets,
    registers,
  });
  const batchTime = new Histogram({
    name: "millrace_batch_duration_seconds",
    help: "From a batch's delivery to its settlement.",
    labelNames: ["queue"],
    buckets: batchBuckets,
    registers,
  });

  const perQueueGauge = (name: string, help: string): Gauge<"queue"> =>
    new Gauge({ name, help, labelNames: ["queue"], registers });
  const backlogMessages = perQueueGauge(
    "millrace_backlog_messages",
    "Messages stored and not yet acknowledged, those in flight included.",
  );
  const backlogBytes = perQueueGauge("millrace_backlog_bytes", "Bytes of the bodies in the backlog.");
  const oldestAge = perQueueGauge(
    "millrace_oldest_message_age_seconds",
    "Age of the oldest message in the backlog; 0 when there is none.",
  );

  const imbalance = perQueueGauge(
    "millrace_conservation_imbalance",
    "Accepted messages that are neither held nor acked, dead-lettered, expired, purged or dropped: 0, or something is lost.",
  );

  const setAsideMessages = perQueueGauge(
    "millrace_messages_set_aside",
    "Messages of the backlog that are damaged on disk and given to nobody.",
  );

  const settled = (f: LogFields): void => {
    const queue = queueOf(f);
    const outcome = textOf(f, "outcome");
    retried.inc(queue, numberOf(f, "retried"));
    if (outcome !== "ok") failed.inc({ ...queue, outcome });
    if (typeof f["ms"] === "number") batchTime.observe(queue, f["ms"] / 1_000);
  };

  const counting: Readonly<Record<string, (fields: LogFields) => void>> = {
    "message.accepted": (f) => {
      if (typeof f["ms"] === "number") sendTime.observe(f["ms"] / 1_000);
    },
    "batch.delivered": (f) => {
      batches.inc(queueOf(f));
      delivered.inc(queueOf(f), numberOf(f, "count"));
    },
    "batch.completed": settled,
    "batch.failed": settled,
    "worker.error": (f) => workerErrors.inc({ worker: textOf(f, "worker") }),
    "worker.restarting": (f) => workerRestarts.inc({ worker: textOf(f, "worker") }),
    "deploy.done": (f) => deploys.inc({ worker: textOf(f, "worker") }),
  };

  return {
    observe: (event, fields) => counting[event]?.(fields),
    contentType: registry.contentType,
    async render() {
      if (ofProcess) await (watching ??= watchProcess());
      const all = await queues();
      const at = now();
      // Queues may be gone since the last time.
      for (const gauge of [backlogMessages, backlogBytes, oldestAge, imbalance, setAsideMessages]) gauge.reset();
      for (const counter of Object.values(accounted)) counter.reset();
      for (const { queue, backlog, accounting, held, setAside = 0 } of all) {
        for (const [what, counter] of Object.entries(accounted))
          counter.inc({ queue }, accounting[what as keyof Accounting]);
        imbalance.set({ queue }, imbalanceOf({ accounting, held }));
        setAsideMessages.set({ queue }, setAside);
        backlogMessages.set({ queue }, backlog.count);
        backlogBytes.set({ queue }, backlog.bytes);
        oldestAge.set(
          { queue },
          backlog.oldestSentAt === undefined ? 0 : Math.max(0, at - backlog.oldestSentAt) / 1_000,
        );
      }
      return await registry.metrics();
    },
  };
}

const textOf = (fields: LogFields, name: string): string => {
  const value = fields[name];
  return typeof value === "string" ? value : "";
};
const queueOf = (fields: LogFields): { readonly queue: string } => ({ queue: textOf(fields, "queue") });
const numberOf = (fields: LogFields, name: string): number => {
  const value = fields[name];
  return typeof value === "number" && value > 0 ? value : 0;
};
