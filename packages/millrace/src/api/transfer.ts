// A queue's messages as lines of JSON, out and in. An extension.

import { Buffer } from "node:buffer";
import { Readable } from "node:stream";
import { z } from "zod";
import { MillraceError } from "../core/index.ts";
import type { MessageRef, PeekedMessage, QueueId, StorageEngine } from "../core/index.ts";
import { limits } from "../contract/index.ts";
import {
  allows,
  exportQuery,
  importQuery,
  importResult,
  nextPageHeader,
  transferLimits,
} from "../contract/rest/index.ts";
import type { ApiDependencies } from "./dependencies.ts";
import { readMessageLines, writeMessageLine } from "./message-lines.ts";
import { existingQueueOf } from "./queue-parameter.ts";
import { defineRoute } from "./route.ts";
import type { Route } from "./route.ts";

const tag = "Millrace";
const jsonLines = "application/x-ndjson";

export function transferRoutes({ controlPlane, engine, intake, clock, logger }: ApiDependencies): Route[] {
  return [
    defineRoute({
      id: "exportMessages",
      method: "GET",
      path: "/millrace/queues/{queue_id}/messages/export",
      tag,
      summary:
        "A page of a queue's messages as lines of JSON, oldest first; nothing changes. The header Millrace-Next, if there is one, is the `after` of the next page",
      needs: "queues:read",
      plane: "pull",
      query: exportQuery,
      download: { what: "a message a line", type: jsonLines },
      result: z.null(),
      handle: async ({ params, query, principal }) => {
        const queue = existingQueueOf(controlPlane.view, params, principal);
        const { messages, next } = await readPage(engine, queue.id, query.after as MessageRef | undefined);
        if (query.after === undefined) logger.info("queue.exported", { queue: queue.name, actor: principal.name });
        const bytes = Buffer.from(messages.map((message) => `${writeMessageLine(message)}\n`).join(""));
        const headers = next === undefined ? {} : { [nextPageHeader]: next };
        return {
          result: null,
          file: { stream: Readable.from([bytes]), bytes: bytes.length, type: jsonLines, headers },
        };
      },
    }),
    defineRoute({
      id: "importMessages",
      method: "POST",
      path: "/millrace/queues/{queue_id}/messages/import",
      tag,
      summary: `Take in up to ${transferLimits.messages} lines of an export, all or none; messages that the queue holds already stay as they are`,
      needs: "queues:write",
      plane: "pull",
      query: importQuery,
      upload: { what: "A message a line", type: jsonLines },
      maxBytes: transferLimits.importBytes,
      result: importResult,
      handle: async ({ params, query, principal, bytes }) => {
        const queue = existingQueueOf(controlPlane.view, params, principal);
        const first = Number(query.first_line ?? 1);
        const allowsV8 = principal.queues === null && allows(principal.scopes, "admin");
        const options = { now: clock.now(), allowsV8 };
        const { messages, lines, isUntimed } = readMessageLines(bytes ?? Buffer.of(), first, options);
        if (lines > transferLimits.messages) {
          throw new MillraceError("REQUEST_TOO_LARGE", `${lines} lines are more than ${transferLimits.messages}`);
        }
        const { known, backlog } = await intake.takeBack(queue.id, messages, { anyAge: isUntimed });
        if (first === 1) logger.info("queue.imported", { queue: queue.name, actor: principal.name });
        return {
          result: { imported: messages.length - known, already_there: known, backlog_count: backlog.count },
        };
      },
    }),
  ];
}

/** `next` is behind the page's last message; absent when there is nothing behind it now. */
async function readPage(
  engine: StorageEngine,
  queue: QueueId,
  from: MessageRef | undefined,
): Promise<{ readonly messages: readonly PeekedMessage[]; readonly next: MessageRef | undefined }> {
  const messages: PeekedMessage[] = [];
  let bytes = 0;
  let last = from;
  while (messages.length < transferLimits.messages && bytes < transferLimits.pageBytes) {
    const slice = await engine.peek(queue, { max: limits.peek.batchSize.max, after: last });
    for (const message of slice) {
      messages.push(message);
      bytes += message.body.byteLength;
    }
    last = slice.at(-1)?.ref ?? last;
    if (slice.length < limits.peek.batchSize.max) return { messages, next: undefined };
  }
  return { messages, next: last };
}
