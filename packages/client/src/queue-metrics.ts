// The backlog as REST tells it, in the terms of the binding.

import { isRecord } from "./json-shape.ts";
import type { QueueMetrics, QueueSendResponse } from "./queue.ts";

/** Zero and no timestamp where the server says nothing, as in a Worker. */
export function readMetrics(from: unknown): QueueMetrics {
  const metrics = isRecord(from) ? from : {};
  const oldest = numberOf(metrics["oldest_message_timestamp_ms"]);
  return {
    backlogCount: numberOf(metrics["backlog_count"]),
    backlogBytes: numberOf(metrics["backlog_bytes"]),
    ...(oldest > 0 && { oldestMessageTimestamp: new Date(oldest) }), // 0: unknown
  };
}

/** The answer of a push, a bulk push or a pull. Older servers answer a push with nothing at all. */
export function readSendResponse(result: unknown): QueueSendResponse {
  const metadata = isRecord(result) ? result["metadata"] : undefined;
  return { metadata: { metrics: readMetrics(isRecord(metadata) ? metadata["metrics"] : undefined) } };
}

function numberOf(value: unknown): number {
  return typeof value === "number" && Number.isFinite(value) ? value : 0;
}
