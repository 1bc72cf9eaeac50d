// Purging a whole queue: start, and how far it is. Source: rest-api.md section 3.

import { MillraceError } from "../core/index.ts";
import { purgeStatus, queueView, startPurgeBody } from "../contract/rest/index.ts";
import type { ApiDependencies } from "./dependencies.ts";
import { existingQueueOf } from "./queue-parameter.ts";
import { isoTime, queueViewer } from "./queue-view.ts";
import { defineRoute } from "./route.ts";
import type { Route } from "./route.ts";

export function purgeRoutes({ controlPlane, broker }: ApiDependencies): Route[] {
  return [
    defineRoute({
      id: "startPurge",
      method: "POST",
      path: "/queues/{queue_id}/purge",
      tag: "Queues",
      summary: "Delete everything a queue holds now; messages sent meanwhile survive",
      needs: "queues:write",
      body: startPurgeBody,
      // The queue as the SDK types it, and beside it what wrangler's type has.
      result: queueView.extend({ started_at: purgeStatus.shape.started_at, complete: purgeStatus.shape.complete }),
      handle: async ({ params, body, principal }) => {
        const queue = existingQueueOf(controlPlane.view, params, principal);
        if (body.delete_messages_permanently !== true) {
          throw new MillraceError(
            "REQUEST_INVALID",
            "delete_messages_permanently: expected true, for a purge cannot be undone",
          );
        }
        const { startedAt, complete } = await broker.purges.start(queue.id);
        return { result: { ...queueViewer(controlPlane.view)(queue), started_at: isoTime(startedAt), complete } };
      },
    }),
    defineRoute({
      id: "getPurge",
      method: "GET",
      path: "/queues/{queue_id}/purge",
      tag: "Queues",
      summary: "How far the newest purge of a queue is",
      needs: "queues:read",
      result: purgeStatus.partial({ started_at: true }),
      handle: ({ params, principal }) => {
        const queue = existingQueueOf(controlPlane.view, params, principal);
        const status = broker.purges.status(queue.id);
        const complete = status?.complete ?? true;
        return {
          result: {
            completed: String(complete),
            complete,
            ...(status !== undefined && { started_at: isoTime(status.startedAt) }),
          },
          messages: status?.error === undefined ? [] : [`The purge ended early: ${status.error}`],
        };
      },
    }),
  ];
}
