// Event subscriptions: stored as they are asked for. The sources are Cloudflare's own, so nothing is ever sent, and every
// answer that makes one says so. Source: rest-api.md section 6.

import { z } from "zod";
import { MillraceError } from "../core/index.ts";
import type { Json, QueueRecord, SubscriptionRecord } from "../core/index.ts";
import { createSubscription, deleteSubscription, existingSubscription, updateSubscription } from "../broker/index.ts";
import { checkSubscription } from "../contract/index.ts";
import { createSubscriptionBody, patchSubscriptionBody, subscriptionView } from "../contract/rest/index.ts";
import type { ApiDependencies } from "./dependencies.ts";
import { pageOf, pagingQuery } from "./paging.ts";
import type { Principal } from "./principal.ts";
import { existingQueueOf } from "./queue-parameter.ts";
import { isoTime } from "./queue-view.ts";
import { defineRoute } from "./route.ts";
import type { Diagnosis, Route } from "./route.ts";

const tag = "Event subscriptions";
const diagnose: Diagnosis = () => "SUBSCRIPTION_INVALID";

const orders = {
  created_at: ({ created_at_ms }: SubscriptionRecord) => created_at_ms,
  name: ({ name }: SubscriptionRecord) => name,
  enabled: ({ enabled }: SubscriptionRecord) => Number(enabled),
  source: ({ source }: SubscriptionRecord) => typeOf(source),
} as const;

const listQuery = pagingQuery.extend({
  queue_id: z.string().optional(),
  order: z
    .enum(["created_at", "name", "enabled", "source"], { error: "expected one of created_at, name, enabled, source" })
    .optional(),
  direction: z.enum(["asc", "desc"], { error: "expected asc or desc" }).optional(),
});

export function subscriptionRoutes({ controlPlane }: ApiDependencies): Route[] {
  const path = "/event_subscriptions/subscriptions";
  const destinationOf = (queue_id: string, principal: Principal): QueueRecord =>
    existingQueueOf(controlPlane.view, { queue_id }, principal);
  /** A subscription belongs to its queue: who may not reach that may not reach this. */
  const existing = (id: string | undefined, principal: Principal): SubscriptionRecord => {
    const record = existingSubscription(controlPlane.view, id ?? "");
    if (principal.queues !== null) destinationOf(record.queue_id, principal);
    return record;
  };

  return [
    defineRoute({
      id: "createSubscription",
      method: "POST",
      path,
      tag,
      summary: "Store an event subscription; no event ever comes of it here",
      needs: "queues:write",
      body: createSubscriptionBody,
      diagnose,
      result: subscriptionView,
      handle: async ({ body, principal }) => {
        const queue = destinationOf(body.destination.queue_id, principal);
        checkSubscription(body.source, body.events);
        const record = await controlPlane.change(principal.name, (view, context) =>
          createSubscription(view, context, {
            name: body.name,
            enabled: body.enabled ?? true,
            events: body.events,
            source: body.source as { readonly [key: string]: Json },
            queue_id: queue.id,
          }),
        );
        return { result: show(record), messages: [nothingComes(record)] };
      },
    }),
    defineRoute({
      id: "listSubscriptions",
      method: "GET",
      path,
      tag,
      summary: "List event subscriptions",
      needs: "queues:read",
      query: listQuery,
      result: z.array(subscriptionView),
      handle: ({ query, principal }) => {
        const { view } = controlPlane;
        const visible = view.all("subscription").filter(({ queue_id }) => {
          const queue = view.get("queue", queue_id);
          return (
            (principal.queues === null || (queue !== undefined && principal.queues.includes(queue.name))) &&
            (query.queue_id === undefined || query.queue_id === queue_id)
          );
        });
        const key = orders[query.order ?? "created_at"];
        const sign = query.direction === "desc" ? -1 : 1;
        const sorted = visible.toSorted((a, b) => (key(a) < key(b) ? -sign : key(a) > key(b) ? sign : 0));
        const { items, info } = pageOf(sorted, query);
        return { result: items.map(show), info };
      },
    }),
    defineRoute({
      id: "getSubscription",
      method: "GET",
      path: `${path}/{subscription_id}`,
      tag,
      summary: "Get an event subscription",
      needs: "queues:read",
      result: subscriptionView,
      handle: ({ params, principal }) => ({ result: show(existing(params["subscription_id"], principal)) }),
    }),
    defineRoute({
      id: "patchSubscription",
      method: "PATCH",
      path: `${path}/{subscription_id}`,
      tag,
      summary: "Change an event subscription; its source stays",
      needs: "queues:write",
      body: patchSubscriptionBody,
      diagnose,
      result: subscriptionView,
      handle: async ({ params, body, principal }) => {
        const { id, source } = existing(params["subscription_id"], principal);
        if (body.events !== undefined) checkSubscription(source, body.events);
        const queue_id =
          body.destination === undefined ? undefined : destinationOf(body.destination.queue_id, principal).id;
        const { name, enabled, events } = body;
        const record = await controlPlane.change(principal.name, (view, context) =>
          updateSubscription(view, context, {
            id,
            ...(name !== undefined && { name }),
            ...(enabled !== undefined && { enabled }),
            ...(events !== undefined && { events }),
            ...(queue_id !== undefined && { queue_id }),
          }),
        );
        return { result: show(record), messages: [nothingComes(record)] };
      },
    }),
    defineRoute({
      id: "deleteSubscription",
      method: "DELETE",
      path: `${path}/{subscription_id}`,
      tag,
      summary: "Delete an event subscription; answers what it was",
      needs: "queues:write",
      result: subscriptionView,
      handle: async ({ params, principal }) => {
        const { id } = existing(params["subscription_id"], principal);
        return {
          result: show(
            await controlPlane.change(principal.name, (view, context) => deleteSubscription(view, context, id)),
          ),
        };
      },
    }),
    ...bucketRoutes(),
  ];
}

/** Notifications of R2 buckets: there are no buckets here, so there is nothing to ask about and nothing to set up. */
function bucketRoutes(): Route[] {
  const path = "/event_notifications/r2/{bucket_name}/configuration";
  const refused = (id: string, method: "GET" | "PUT" | "DELETE", suffix: string): Route =>
    defineRoute({
      id,
      method,
      path: path + suffix,
      tag,
      summary: "Notifications of an R2 bucket: refused, for there are no buckets here",
      needs: method === "GET" ? "queues:read" : "queues:write",
      result: z.never(),
      handle: ({ params }) => {
        const bucket = (params["bucket_name"] ?? "").slice(0, 80);
        throw new MillraceError("UNSUPPORTED", `Millrace has no R2 buckets, so bucket ${bucket} cannot notify a queue`);
      },
    });
  return [
    refused("getBucketNotifications", "GET", ""),
    refused("getBucketQueueNotifications", "GET", "/queues/{queue_id}"),
    refused("putBucketQueueNotifications", "PUT", "/queues/{queue_id}"),
    refused("deleteBucketQueueNotifications", "DELETE", "/queues/{queue_id}"),
  ];
}

function nothingComes({ source }: SubscriptionRecord): string {
  return `The subscription is stored, but ${typeOf(source)} is a service of Cloudflare: no event will come of it here`;
}

function show(record: SubscriptionRecord): z.input<typeof subscriptionView> {
  return {
    id: record.id,
    created_at: isoTime(record.created_at_ms),
    modified_at: isoTime(record.modified_at_ms),
    name: record.name,
    enabled: record.enabled,
    events: [...record.events],
    source: { ...record.source },
    destination: { type: "queues.queue", queue_id: record.queue_id },
  };
}

function typeOf(source: SubscriptionRecord["source"]): string {
  return typeof source["type"] === "string" ? source["type"] : "";
}
