// What a queue and a Worker may be called.

import { MillraceError } from "../core/index.ts";
import type { QueueName, WorkerName } from "../core/index.ts";
import { limits } from "./limits.ts";

const queueNamePattern = /^[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?$/;
const workerNamePattern = /^[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?$/i;

/** Throws `QUEUE_NAME_INVALID`. Source: queues-contract.md section 1. */
export function parseQueueName(text: unknown): QueueName {
  const { max } = limits.queue.nameLength;
  if (typeof text === "string" && text.length <= max && queueNamePattern.test(text)) return text as QueueName;
  const shown =
    typeof text === "string" ? JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text) : typeof text;
  throw new MillraceError("QUEUE_NAME_INVALID", `Queue name ${shown} is not valid`);
}

/** `undefined` when the text is no Worker name: letters, digits, dashes and underscores, 1 to 63 of them. */
export function parseWorkerName(text: string): WorkerName | undefined {
  return text.length <= 63 && workerNamePattern.test(text) ? (text as WorkerName) : undefined;
}
