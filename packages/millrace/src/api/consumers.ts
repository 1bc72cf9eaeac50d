// Consumers of a queue: attach, list, get, replace, remove. Source: rest-api.md section 4.

import { z } from "zod";
import { MillraceError } from "../core/index.ts";
import type { ConsumerId, ConsumerRecord, QueueRecord } from "../core/index.ts";
import { attachConsumer, existingConsumer, removeConsumer, replaceConsumer } from "../broker/index.ts";
import type { ConsumerDefinition } from "../broker/index.ts";
import {
  parsePullConsumerSettings,
  parseQueueName,
  parseWorkerConsumerSettings,
  parseWorkerName,
} from "../contract/index.ts";
import { consumerBody, consumerView, knownSettings } from "../contract/rest/index.ts";
import type { ConsumerBody } from "../contract/rest/index.ts";
import type { ApiDependencies } from "./dependencies.ts";
import { pageOf, pagingQuery } from "./paging.ts";
import { requireQueue } from "./principal.ts";
import type { Principal } from "./principal.ts";
import { existingQueueOf } from "./queue-parameter.ts";
import { showConsumer } from "./queue-view.ts";
import { defineRoute } from "./route.ts";
import type { Diagnosis, Route } from "./route.ts";
import { unknownSettings } from "./unknown-settings.ts";

const diagnose: Diagnosis = ({ path }) =>
  path[0] === "settings" || path[0] === "dead_letter_queue" ? "CONSUMER_SETTINGS_INVALID" : undefined;

export function consumerRoutes({ controlPlane }: ApiDependencies): Route[] {
  const shown = (queue: QueueRecord, record: ConsumerRecord): z.input<typeof consumerView> =>
    showConsumer(controlPlane.view.get("queue", queue.id) ?? queue, record);
  const consumerOf = (queue: QueueRecord, id: string | undefined): ConsumerRecord =>
    existingConsumer(controlPlane.view, queue, (id ?? "").slice(0, 60) as ConsumerId);

  return [
    defineRoute({
      id: "createConsumer",
      method: "POST",
      path: "/queues/{queue_id}/consumers",
      tag: "Consumers",
      summary: "Give a queue its consumer: a Worker, or clients that pull",
      needs: "queues:write",
      body: consumerBody,
      diagnose,
      result: consumerView,
      handle: async ({ params, body, principal }) => {
        const queue = existingQueueOf(controlPlane.view, params, principal);
        const definition = definitionOf(body);
        requireDeadLetterQueue(principal, definition);
        const record = await controlPlane.change(principal.name, (view, context) =>
          attachConsumer(view, context, { queue: queue.id, definition }),
        );
        return { result: shown(queue, record), messages: ignoredSettings(body) };
      },
    }),
    defineRoute({
      id: "listConsumers",
      method: "GET",
      path: "/queues/{queue_id}/consumers",
      tag: "Consumers",
      summary: "List a queue's consumers: none or one",
      needs: "queues:read",
      query: pagingQuery,
      result: z.array(consumerView),
      handle: ({ params, query, principal }) => {
        const queue = existingQueueOf(controlPlane.view, params, principal);
        const { items, info } = pageOf(controlPlane.view.consumersOf(queue.id), query);
        return { result: items.map((consumer) => showConsumer(queue, consumer)), info };
      },
    }),
    defineRoute({
      id: "getConsumer",
      method: "GET",
      path: "/queues/{queue_id}/consumers/{consumer_id}",
      tag: "Consumers",
      summary: "Get a consumer",
      needs: "queues:read",
      result: consumerView,
      handle: ({ params, principal }) => {
        const queue = existingQueueOf(controlPlane.view, params, principal);
        return { result: showConsumer(queue, consumerOf(queue, params["consumer_id"])) };
      },
    }),
    defineRoute({
      id: "replaceConsumer",
      method: "PUT",
      path: "/queues/{queue_id}/consumers/{consumer_id}",
      tag: "Consumers",
      summary: "Replace a consumer, or attach one where the queue has none; absent settings go back to their defaults",
      needs: "queues:write",
      body: consumerBody,
      diagnose,
      result: consumerView,
      handle: async ({ params, body, principal }) => {
        const queue = existingQueueOf(controlPlane.view, params, principal);
        const definition = definitionOf(body);
        requireDeadLetterQueue(principal, definition);
        const record = await controlPlane.change(principal.name, (view, context) =>
          view.consumersOf(queue.id).length === 0
            ? attachConsumer(view, context, { queue: queue.id, definition })
            : replaceConsumer(view, context, {
                queue: queue.id,
                consumer: (params["consumer_id"] ?? "").slice(0, 60) as ConsumerId,
                definition,
              }),
        );
        return { result: shown(queue, record), messages: ignoredSettings(body) };
      },
    }),
    defineRoute({
      id: "deleteConsumer",
      method: "DELETE",
      path: "/queues/{queue_id}/consumers/{consumer_id}",
      tag: "Consumers",
      summary: "Remove a consumer; messages stay in the queue",
      needs: "queues:write",
      result: z.null(),
      handle: async ({ params, principal }) => {
        const queue = existingQueueOf(controlPlane.view, params, principal);
        const { id } = consumerOf(queue, params["consumer_id"]);
        await controlPlane.change(principal.name, (view, context) =>
          removeConsumer(view, context, { queue: queue.id, consumer: id }),
        );
        return { result: null };
      },
    }),
  ];

  /** A token for certain queues cannot reach others through a dead letter setting, nor create them so. */
  function requireDeadLetterQueue(principal: Principal, { deadLetterQueue }: ConsumerDefinition): void {
    if (principal.queues === null || deadLetterQueue === undefined || principal.queues.includes(deadLetterQueue))
      return;
    const target = controlPlane.view.queueByName(deadLetterQueue);
    if (target !== undefined) return requireQueue(principal, target);
    throw new MillraceError("FORBIDDEN", `Token ${principal.name} is not good for queue ${deadLetterQueue}`);
  }
}

function definitionOf(body: ConsumerBody): ConsumerDefinition {
  const deadLetterName = body.dead_letter_queue ?? "";
  const deadLetterQueue = deadLetterName === "" ? undefined : parseQueueName(deadLetterName);
  if (body.type === "http_pull") {
    return { type: "http_pull", deadLetterQueue, settings: parsePullConsumerSettings(body.settings ?? {}) };
  }
  const script = body.script_name ?? body.script;
  if (script === undefined) {
    throw new MillraceError(
      "REQUEST_INVALID",
      "script_name: expected the name of the Worker that consumes, got nothing",
    );
  }
  const name = parseWorkerName(script);
  if (name === undefined)
    throw new MillraceError("WORKER_NOT_FOUND", `Worker ${JSON.stringify(script.slice(0, 60))} does not exist`);
  const environment = body.environment_name ?? "";
  return {
    type: "worker",
    deadLetterQueue,
    script: name,
    environment: environment === "" ? undefined : environment.slice(0, 100),
    settings: parseWorkerConsumerSettings(body.settings ?? {}),
  };
}

function ignoredSettings(body: ConsumerBody): readonly string[] {
  return unknownSettings(body.settings, knownSettings[body.type], `a ${body.type} consumer`);
}
