// Gathers what `explain` reasons about: one queue at one moment.

import type { Clock, QueueFacts, QueueId, StorageEngine, WorkerName } from "../core/index.ts";
import type { Broker } from "./broker.ts";
import type { ControlPlane } from "./control-plane.ts";
import { existingQueue } from "./queues.ts";

/** How a Worker that consumes is doing, in the terms of `explain`. */
export interface WorkerCondition {
  readonly state: "ready" | "starting" | "crashed" | "notDeployed";
  readonly detail: string | undefined;
}

export interface QueueFactsSources {
  readonly engine: StorageEngine;
  readonly controlPlane: ControlPlane;
  readonly broker: Pick<Broker, "loopOf">;
  readonly clock: Clock;
  readonly condition: (worker: WorkerName) => WorkerCondition;
}

/** Throws `QUEUE_NOT_FOUND`. */
export async function gatherQueueFacts(sources: QueueFactsSources, queue: QueueId): Promise<QueueFacts> {
  const { engine, controlPlane, clock } = sources;
  const record = existingQueue(controlPlane.view, queue);
  const { backlog, readiness, setAside = 0 } = await engine.metrics(queue);
  return {
    queue: record.name,
    now: clock.now(),
    paused: record.paused,
    backlog,
    readiness,
    setAside,
    backlogLimitBytes: record.backlog_limit_bytes,
    consumer: consumerFacts(sources, queue),
  };
}

function consumerFacts({ controlPlane, broker, condition }: QueueFactsSources, queue: QueueId): QueueFacts["consumer"] {
  const [consumer] = controlPlane.view.consumersOf(queue);
  if (consumer === undefined) return { type: "none" };
  if (consumer.type === "http_pull") return { type: "http_pull" };
  const loop = broker.loopOf(queue);
  const state = loop?.state();
  return {
    type: "worker",
    worker: consumer.script,
    ...condition(consumer.script),
    batchSize: consumer.batch_size,
    maxWaitMs: consumer.max_wait_ms,
    inFlight: loop?.inFlight ?? 0,
    concurrencyTarget: loop?.concurrencyTarget ?? 1,
    maxConcurrency: consumer.max_concurrency,
    lastFailure: loop?.lastFailure,
    backingOffUntil: state?.kind === "backingOff" ? state.until : undefined,
  };
}
