// Queues: create, list, get, change, delete, and how much is in them. Source: rest-api.md section 3.

import { z } from "zod";
import { MillraceError } from "../core/index.ts";
import type { QueueRecord } from "../core/index.ts";
import { createQueue, deleteQueue, updateQueue } from "../broker/index.ts";
import { limits, parseJurisdiction, parseQueueName, parseQueueSettings } from "../contract/index.ts";
import type { QueueSettings } from "../contract/index.ts";
import { changeQueueBody, createQueueBody, knownSettings, messageMetrics, queueView } from "../contract/rest/index.ts";
import type { ApiDependencies } from "./dependencies.ts";
import { pageOf, pagingQuery } from "./paging.ts";
import { maySee, requireWholeAccount } from "./principal.ts";
import { existingQueueOf } from "./queue-parameter.ts";
import { metricsOf, queueViewer } from "./queue-view.ts";
import { defineRoute } from "./route.ts";
import type { Diagnosis, Route } from "./route.ts";
import { unknownSettings } from "./unknown-settings.ts";

const diagnose: Diagnosis = ({ path }) => {
  if (path[0] === "settings" || path[0] === "jurisdiction") return "QUEUE_SETTINGS_INVALID";
  return path[0] === "queue_name" ? "QUEUE_NAME_INVALID" : undefined;
};

const listQuery = pagingQuery.extend({ name: z.union([z.string(), z.array(z.string())]).optional() });

export function queueRoutes({ controlPlane, engine }: ApiDependencies): Route[] {
  const change = (method: "PUT" | "PATCH", id: string, summary: string): Route =>
    defineRoute({
      id,
      method,
      path: "/queues/{queue_id}",
      tag: "Queues",
      summary,
      needs: "queues:write",
      body: changeQueueBody,
      diagnose,
      result: queueView,
      handle: async ({ params, body, principal }) => {
        const queue = existingQueueOf(controlPlane.view, params, principal);
        const name = body.queue_name === undefined ? undefined : parseQueueName(body.queue_name);
        if (name !== undefined && name !== queue.name) requireWholeAccount(principal);
        const record = await controlPlane.change(principal.name, (view, context) => {
          const current = view.get("queue", queue.id) ?? queue;
          keepJurisdiction(current, body.jurisdiction);
          const base = method === "PATCH" ? settingsOf(current) : undefined;
          return updateQueue(view, context, {
            id: queue.id,
            name,
            settings: parseQueueSettings(body.settings ?? {}, base),
          });
        });
        return {
          result: queueViewer(controlPlane.view)(record),
          messages: unknownSettings(body.settings, knownSettings.queue, "a queue"),
        };
      },
    });

  return [
    defineRoute({
      id: "createQueue",
      method: "POST",
      path: "/queues",
      tag: "Queues",
      summary: "Create a queue",
      needs: "queues:write",
      body: createQueueBody,
      diagnose,
      result: queueView,
      handle: async ({ body, principal }) => {
        requireWholeAccount(principal);
        const name = parseQueueName(body.queue_name);
        const settings = parseQueueSettings(body.settings ?? {});
        const jurisdiction = parseJurisdiction(body.jurisdiction) ?? null;
        const record = await controlPlane.change(principal.name, (view, context) =>
          createQueue(view, context, { name, settings, jurisdiction }),
        );
        return {
          result: queueViewer(controlPlane.view)(record),
          messages: unknownSettings(body.settings, knownSettings.queue, "a queue"),
        };
      },
    }),
    defineRoute({
      id: "listQueues",
      method: "GET",
      path: "/queues",
      tag: "Queues",
      summary: "List queues; `name` may be repeated and filters exactly",
      needs: "queues:read",
      query: listQuery,
      result: z.array(queueView),
      handle: ({ query, principal }) => {
        const { view } = controlPlane;
        const visible = view.all("queue").filter((queue) => maySee(principal, queue));
        const names = query.name === undefined ? undefined : new Set([query.name].flat());
        const { items, info } = pageOf(
          names === undefined ? visible : visible.filter((queue) => names.has(queue.name)),
          query,
          limits.request.pageSize.default,
        );
        return { result: items.map(queueViewer(view)), info };
      },
    }),
    defineRoute({
      id: "getQueue",
      method: "GET",
      path: "/queues/{queue_id}",
      tag: "Queues",
      summary: "Get a queue",
      needs: "queues:read",
      result: queueView,
      handle: ({ params, principal }) => ({
        result: queueViewer(controlPlane.view)(existingQueueOf(controlPlane.view, params, principal)),
      }),
    }),
    change("PUT", "replaceQueue", "Replace a queue's settings; absent ones go back to their defaults"),
    change("PATCH", "patchQueue", "Change some of a queue's settings"),
    defineRoute({
      id: "deleteQueue",
      method: "DELETE",
      path: "/queues/{queue_id}",
      tag: "Queues",
      summary: "Delete a queue with its messages and its consumer",
      needs: "queues:write",
      result: z.null(),
      handle: async ({ params, principal }) => {
        const { id } = existingQueueOf(controlPlane.view, params, principal);
        requireWholeAccount(principal);
        await controlPlane.change(principal.name, (view, context) => deleteQueue(view, context, id));
        return { result: null };
      },
    }),
    defineRoute({
      id: "getQueueMetrics",
      method: "GET",
      path: "/queues/{queue_id}/metrics",
      tag: "Queues",
      summary: "The backlog of a queue: messages stored and not acknowledged",
      needs: "queues:read",
      result: messageMetrics,
      handle: async ({ params, principal }) => {
        const queue = existingQueueOf(controlPlane.view, params, principal);
        const { backlog } = await engine.metrics(queue.id);
        return { result: metricsOf(backlog) };
      },
    }),
  ];
}

function settingsOf(record: QueueRecord): QueueSettings {
  return { deliveryDelaySeconds: record.delivery_delay_s, retentionSeconds: record.retention_s, paused: record.paused };
}

function keepJurisdiction(record: QueueRecord, wanted: string | undefined): void {
  if (wanted === undefined || wanted === record.jurisdiction) return;
  const words = `jurisdiction: it is ${record.jurisdiction ?? "none"} and cannot change to ${wanted}; it is set when a queue is created`;
  throw new MillraceError("QUEUE_SETTINGS_INVALID", words);
}
