// Decisions on queues: create, change, delete. Pure over a catalog snapshot; the control plane commits what they answer.

import { deleteRecord, MillraceError, putRecord } from "../core/index.ts";
import type {
  CatalogOperation,
  CatalogView,
  ConsumerRecord,
  QueueId,
  QueueName,
  QueueRecord,
  QueueReference,
} from "../core/index.ts";
import { limits } from "../contract/index.ts";
import type { IntakeLimits, QueueSettings } from "../contract/index.ts";
import type { CatalogDecision, DecisionContext } from "./control-plane.ts";

export interface CreateQueue {
  readonly name: QueueName;
  readonly settings: QueueSettings;
  readonly jurisdiction: QueueRecord["jurisdiction"];
}

/** Throws `QUEUE_NAME_TAKEN` and `QUEUE_LIMIT_REACHED`. */
export function createQueue(
  view: CatalogView,
  context: DecisionContext,
  command: CreateQueue,
): CatalogDecision<QueueRecord> {
  if (view.queueByName(command.name) !== undefined) {
    throw new MillraceError("QUEUE_NAME_TAKEN", `A queue named ${command.name} exists already`);
  }
  if (view.all("queue").length >= limits.queue.perAccount) {
    throw new MillraceError(
      "QUEUE_LIMIT_REACHED",
      `The account holds ${limits.queue.perAccount} queues, the most there may be`,
    );
  }
  const record: QueueRecord = {
    id: context.newId() as QueueId,
    name: command.name,
    created_at_ms: context.now,
    modified_at_ms: context.now,
    delivery_delay_s: command.settings.deliveryDelaySeconds,
    retention_s: command.settings.retentionSeconds,
    paused: command.settings.paused,
    backlog_limit_bytes: limits.queue.backlogBytes,
    messages_per_second: null,
    jurisdiction: command.jurisdiction,
  };
  return {
    operations: [{ kind: "createQueue", queue: record.id }, putRecord("queue", record.id, record)],
    audit: [{ action: "CreateQueue", resource: record.name, details: { queue_id: record.id } }],
    result: record,
  };
}

/** Absent fields stay as they are. */
export interface UpdateQueue {
  readonly id: QueueId;
  readonly name?: QueueName | undefined;
  readonly settings?: QueueSettings | undefined;
  /** An extension of Millrace; checked by `parseIntakeLimits`. */
  readonly intakeLimits?: Partial<IntakeLimits> | undefined;
}

/** Throws `QUEUE_NOT_FOUND` and `QUEUE_NAME_TAKEN`. A jurisdiction never changes. */
export function updateQueue(
  view: CatalogView,
  context: DecisionContext,
  command: UpdateQueue,
): CatalogDecision<QueueRecord> {
  const current = existingQueue(view, command.id);
  const name = command.name ?? current.name;
  if (name !== current.name && view.queueByName(name) !== undefined) {
    throw new MillraceError("QUEUE_NAME_TAKEN", `A queue named ${name} exists already`);
  }
  const settings = command.settings;
  const record: QueueRecord = {
    ...current,
    name,
    modified_at_ms: context.now,
    ...(settings !== undefined && {
      delivery_delay_s: settings.deliveryDelaySeconds,
      retention_s: settings.retentionSeconds,
      paused: settings.paused,
    }),
    ...command.intakeLimits,
  };
  return {
    operations: [
      putRecord("queue", record.id, record),
      ...(name === current.name ? [] : renamedReferences(view, current, name)),
    ],
    audit: [
      {
        action: "UpdateQueue",
        resource: record.name,
        details: { queue_id: record.id, before: settingsOf(current), after: settingsOf(record) },
      },
    ],
    result: record,
  };
}

/**
 * Deletes the queue, its messages, its consumers and its event subscriptions. Bindings and dead letter settings that name it
 * dangle, as on Cloudflare.
 */
export function deleteQueue(view: CatalogView, _context: DecisionContext, id: QueueId): CatalogDecision<QueueRecord> {
  const record = existingQueue(view, id);
  const subscriptions = view.all("subscription").filter(({ queue_id }) => queue_id === id);
  return {
    operations: [
      ...view.consumersOf(id).map((consumer) => deleteRecord("consumer", consumer.id)),
      ...subscriptions.map((subscription) => deleteRecord("subscription", subscription.id)),
      deleteRecord("queue", id),
      { kind: "dropQueue", queue: id },
    ],
    audit: [
      ...subscriptions.map(({ id: subscription_id, name }) => ({
        action: "DeleteSubscription",
        resource: name,
        details: { subscription_id, queue_id: id },
      })),
      { action: "DeleteQueue", resource: record.name, details: { queue_id: id } },
    ],
    result: record,
  };
}

/** Throws `QUEUE_NOT_FOUND`. */
export function existingQueue(view: CatalogView, id: QueueId): QueueRecord {
  const record = view.get("queue", id);
  if (record === undefined) throw new MillraceError("QUEUE_NOT_FOUND", `Queue ${id} does not exist`);
  return record;
}

function settingsOf(record: QueueRecord): { readonly [key: string]: string | number | boolean | null } {
  const { name, delivery_delay_s, retention_s, paused, backlog_limit_bytes, messages_per_second } = record;
  return { name, delivery_delay_s, retention_s, paused, backlog_limit_bytes, messages_per_second };
}

/** Settings elsewhere that show the queue's name follow a rename. */
function renamedReferences(view: CatalogView, current: QueueRecord, name: QueueName): CatalogOperation[] {
  const renamed = (reference: QueueReference | null): QueueReference | null =>
    reference !== null && view.resolve(reference)?.id === current.id
      ? { queue_id: current.id, queue_name: name }
      : reference;
  return view.all("consumer").flatMap((consumer) => {
    const dead_letter_queue = renamed(consumer.dead_letter_queue);
    if (dead_letter_queue === consumer.dead_letter_queue) return [];
    const changed: ConsumerRecord = { ...consumer, dead_letter_queue };
    return [putRecord("consumer", consumer.id, changed)];
  });
}
