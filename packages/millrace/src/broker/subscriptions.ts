// Decisions on event subscriptions: stored and shown; no event comes of them, for the sources are Cloudflare's own.

import { deleteRecord, MillraceError, putRecord } from "../core/index.ts";
import type { CatalogView, QueueId, SubscriptionRecord } from "../core/index.ts";
import type { CatalogDecision, DecisionContext } from "./control-plane.ts";
import { existingQueue } from "./queues.ts";

type Definition = Pick<SubscriptionRecord, "name" | "enabled" | "events" | "source" | "queue_id">;

/** Throws `QUEUE_NOT_FOUND`. */
export function createSubscription(
  view: CatalogView,
  { now, newId }: DecisionContext,
  definition: Definition,
): CatalogDecision<SubscriptionRecord> {
  existingQueue(view, definition.queue_id);
  return stored({ ...definition, id: newId(), created_at_ms: now, modified_at_ms: now }, "CreateSubscription");
}

/** Absent fields stay as they are; the source never changes. Throws `SUBSCRIPTION_NOT_FOUND` and `QUEUE_NOT_FOUND`. */
export function updateSubscription(
  view: CatalogView,
  { now }: DecisionContext,
  command: { readonly id: string } & Partial<Omit<Definition, "source">>,
): CatalogDecision<SubscriptionRecord> {
  const current = existingSubscription(view, command.id);
  const record: SubscriptionRecord = {
    ...current,
    name: command.name ?? current.name,
    enabled: command.enabled ?? current.enabled,
    events: command.events ?? current.events,
    queue_id: command.queue_id ?? current.queue_id,
    modified_at_ms: now,
  };
  existingQueue(view, record.queue_id);
  return stored(record, "UpdateSubscription");
}

/** Throws `SUBSCRIPTION_NOT_FOUND`. */
export function deleteSubscription(
  view: CatalogView,
  _context: DecisionContext,
  id: string,
): CatalogDecision<SubscriptionRecord> {
  const record = existingSubscription(view, id);
  return {
    operations: [deleteRecord("subscription", record.id)],
    audit: [{ action: "DeleteSubscription", resource: record.name, details: { subscription_id: record.id } }],
    result: record,
  };
}

/** Throws `SUBSCRIPTION_NOT_FOUND`. */
export function existingSubscription(view: CatalogView, id: string): SubscriptionRecord {
  const record = view.get("subscription", id);
  if (record === undefined)
    throw new MillraceError("SUBSCRIPTION_NOT_FOUND", `Subscription ${id.slice(0, 60)} does not exist`);
  return record;
}

function stored(record: SubscriptionRecord, action: string): CatalogDecision<SubscriptionRecord> {
  const queue_id: QueueId = record.queue_id;
  return {
    operations: [putRecord("subscription", record.id, record)],
    audit: [{ action, resource: record.name, details: { subscription_id: record.id, queue_id } }],
    result: record,
  };
}
