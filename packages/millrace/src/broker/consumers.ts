// Decisions on consumers: attach, change, remove. Pure over a catalog snapshot; the control plane commits what they answer.

import { deleteRecord, MillraceError, putRecord, seconds } from "../core/index.ts";
import type {
  CatalogOperation,
  CatalogView,
  ConsumerId,
  ConsumerRecord,
  PullConsumerRecord,
  QueueId,
  QueueName,
  QueueRecord,
  QueueReference,
  RetryPolicy,
  WorkerConsumerRecord,
  WorkerName,
} from "../core/index.ts";
import { defaultQueueSettings } from "../contract/index.ts";
import type { PullConsumerSettings, WorkerConsumerSettings } from "../contract/index.ts";
import type { CatalogDecision, DecisionContext } from "./control-plane.ts";
import { createQueue, existingQueue } from "./queues.ts";

export type ConsumerDefinition = {
  /** Created when it does not exist, in the queue's jurisdiction. `undefined`: none. */
  readonly deadLetterQueue: QueueName | undefined;
} & (
  | {
      readonly type: "worker";
      readonly script: WorkerName;
      readonly environment: string | undefined;
      readonly settings: WorkerConsumerSettings;
    }
  | { readonly type: "http_pull"; readonly settings: PullConsumerSettings }
);

/**
 * Gives a queue its consumer. Throws `QUEUE_NOT_FOUND`, `CONSUMER_EXISTS`, `WORKER_NOT_FOUND`,
 * `WORKER_HAS_NO_QUEUE_HANDLER`, `CONSUMER_SETTINGS_INVALID` (a queue that is its own dead letter queue).
 */
export function attachConsumer(
  view: CatalogView,
  context: DecisionContext,
  command: { readonly queue: QueueId; readonly definition: ConsumerDefinition },
): CatalogDecision<ConsumerRecord> {
  const queue = existingQueue(view, command.queue);
  const [existing] = view.consumersOf(queue.id);
  if (existing !== undefined) {
    const who = existing.type === "worker" ? `the Worker ${existing.script}` : "an http_pull consumer";
    throw new MillraceError("CONSUMER_EXISTS", `Queue ${queue.name} already has a consumer: ${who}`);
  }
  return putConsumer(view, context, queue, command.definition, undefined);
}

/** Replaces a consumer's definition: what is absent goes back to the default. Throws as `attachConsumer`, and `CONSUMER_NOT_FOUND`. */
export function replaceConsumer(
  view: CatalogView,
  context: DecisionContext,
  command: { readonly queue: QueueId; readonly consumer: ConsumerId; readonly definition: ConsumerDefinition },
): CatalogDecision<ConsumerRecord> {
  const queue = existingQueue(view, command.queue);
  return putConsumer(view, context, queue, command.definition, existingConsumer(view, queue, command.consumer));
}

/** Throws `QUEUE_NOT_FOUND` and `CONSUMER_NOT_FOUND`. Messages stay in the queue. */
export function removeConsumer(
  view: CatalogView,
  _context: DecisionContext,
  command: { readonly queue: QueueId; readonly consumer: ConsumerId },
): CatalogDecision<ConsumerRecord> {
  const queue = existingQueue(view, command.queue);
  const consumer = existingConsumer(view, queue, command.consumer);
  return {
    operations: [deleteRecord("consumer", consumer.id)],
    audit: [
      { action: "RemoveConsumer", resource: queue.name, details: { consumer_id: consumer.id, type: consumer.type } },
    ],
    result: consumer,
  };
}

/** Operations that detach everything a Worker consumes; for deleting the Worker. */
export function detachWorker(view: CatalogView, worker: WorkerName): readonly CatalogOperation[] {
  return view.consumersOfWorker(worker).map((consumer) => deleteRecord("consumer", consumer.id));
}

/** Throws `CONSUMER_NOT_FOUND`. */
export function existingConsumer(view: CatalogView, queue: QueueRecord, id: ConsumerId): ConsumerRecord {
  const consumer = view.consumersOf(queue.id).find((each) => each.id === id);
  if (consumer === undefined)
    throw new MillraceError("CONSUMER_NOT_FOUND", `Queue ${queue.name} has no consumer ${id}`);
  return consumer;
}

/** The consumer's rules as the core takes them. A dead letter queue that is gone is `undefined`: see `dead-letters.ts`. */
export function retryPolicyOf(view: CatalogView, consumer: ConsumerRecord | undefined): RetryPolicy | undefined {
  if (consumer === undefined) return undefined;
  const target = consumer.dead_letter_queue;
  return {
    maxRetries: consumer.max_retries,
    retryDelay: seconds(consumer.retry_delay_s),
    deadLetterQueue: target === null ? undefined : view.resolve(target)?.id,
  };
}

function putConsumer(
  view: CatalogView,
  context: DecisionContext,
  queue: QueueRecord,
  definition: ConsumerDefinition,
  existing: ConsumerRecord | undefined,
): CatalogDecision<ConsumerRecord> {
  if (definition.type === "worker") requireQueueHandler(view, definition.script);
  const deadLetters = deadLetterQueueFor(view, context, queue, definition.deadLetterQueue);
  const base = {
    id: existing?.id ?? (context.newId() as ConsumerId),
    queue_id: queue.id,
    created_at_ms: existing?.created_at_ms ?? context.now,
    max_retries: definition.settings.maxRetries,
    retry_delay_s: definition.settings.retryDelaySeconds,
    dead_letter_queue: deadLetters?.reference ?? null,
  };
  const record = definition.type === "worker" ? workerRecord(base, definition) : pullRecord(base, definition.settings);
  return {
    operations: [...(deadLetters?.creation?.operations ?? []), putRecord("consumer", record.id, record)],
    audit: [
      ...(deadLetters?.creation?.audit ?? []),
      {
        action: existing === undefined ? "AttachConsumer" : "UpdateConsumerSettings",
        resource: queue.name,
        details: {
          consumer_id: record.id,
          type: record.type,
          ...(record.type === "worker" && { script: record.script }),
        },
      },
    ],
    result: record,
  };
}

type RecordBase = Pick<
  ConsumerRecord,
  "id" | "queue_id" | "created_at_ms" | "max_retries" | "retry_delay_s" | "dead_letter_queue"
>;

function workerRecord(
  base: RecordBase,
  definition: Extract<ConsumerDefinition, { type: "worker" }>,
): WorkerConsumerRecord {
  return {
    ...base,
    type: "worker",
    script: definition.script,
    environment: definition.environment ?? null,
    batch_size: definition.settings.batchSize,
    max_wait_ms: definition.settings.maxWaitMs,
    max_concurrency: definition.settings.maxConcurrency,
  };
}

function pullRecord(base: RecordBase, settings: PullConsumerSettings): PullConsumerRecord {
  return {
    ...base,
    type: "http_pull",
    batch_size: settings.batchSize,
    visibility_timeout_ms: settings.visibilityTimeoutMs,
  };
}

/** Throws `WORKER_NOT_FOUND` and `WORKER_HAS_NO_QUEUE_HANDLER`. */
function requireQueueHandler(view: CatalogView, name: WorkerName): void {
  const worker = view.get("worker", name);
  if (worker === undefined) throw new MillraceError("WORKER_NOT_FOUND", `Worker ${name} does not exist`);
  const running = view.runningVersions(worker)[0];
  if (running !== undefined && !running.handlers.includes("queue")) {
    throw new MillraceError("WORKER_HAS_NO_QUEUE_HANDLER", `Worker ${name} exports no queue handler`);
  }
}

interface DeadLetterChoice {
  readonly reference: QueueReference;
  readonly creation: CatalogDecision<QueueRecord> | undefined;
}

function deadLetterQueueFor(
  view: CatalogView,
  context: DecisionContext,
  source: QueueRecord,
  name: QueueName | undefined,
): DeadLetterChoice | undefined {
  if (name === undefined) return undefined;
  if (name === source.name) {
    throw new MillraceError(
      "CONSUMER_SETTINGS_INVALID",
      `dead_letter_queue: queue ${name} cannot be its own dead letter queue`,
    );
  }
  const existing = view.queueByName(name);
  if (existing !== undefined) {
    if (existing.jurisdiction !== source.jurisdiction) {
      throw new MillraceError(
        "CONSUMER_SETTINGS_INVALID",
        `dead_letter_queue: queue ${name} has jurisdiction ${existing.jurisdiction ?? "none"}, but ${source.name} has ${source.jurisdiction ?? "none"}; they must be the same`,
      );
    }
    return { reference: { queue_id: existing.id, queue_name: name }, creation: undefined };
  }
  const creation = createQueue(view, context, {
    name,
    settings: defaultQueueSettings,
    jurisdiction: source.jurisdiction,
  });
  return { reference: { queue_id: creation.result.id, queue_name: name }, creation };
}
