// What a pull answers.

import { QueueError } from "./errors.ts";
import { isRecord, requireField } from "./json-shape.ts";
import { readSendResponse } from "./queue-metrics.ts";
import type { QueueMetrics } from "./queue.ts";

export interface PulledMessage {
  readonly id: string;
  readonly leaseId: string;
  readonly timestampMs: number;
  readonly attempts: number;
  /** As it came; see `decodeBody`. */
  readonly body: string;
  readonly contentType: string;
}

export interface PulledBatch {
  /** The queue's name. */
  readonly queue: string;
  readonly messages: readonly PulledMessage[];
  readonly metrics: QueueMetrics;
}

/** Throws `RESPONSE_INVALID`. */
export function readPull(queue: string, result: unknown): PulledBatch {
  const messages = isRecord(result) ? result["messages"] : undefined;
  if (!Array.isArray(messages)) {
    throw QueueError.local("RESPONSE_INVALID", "messages of the answer to a pull: expected an array");
  }
  return { queue, messages: messages.map(readMessage), metrics: readSendResponse(result).metadata.metrics };
}

function readMessage(from: unknown): PulledMessage {
  const message = isRecord(from) ? from : {};
  const metadata = message["metadata"];
  const contentType = isRecord(metadata) ? metadata["CF-Content-Type"] : undefined;
  return {
    id: requireField(message, "id", "string"),
    leaseId: requireField(message, "lease_id", "string"),
    timestampMs: requireField(message, "timestamp_ms", "number"),
    attempts: requireField(message, "attempts", "number"),
    body: requireField(message, "body", "string"),
    contentType: typeof contentType === "string" ? contentType : "text",
  };
}
