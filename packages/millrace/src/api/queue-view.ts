// Queues and consumers as the REST API shows them. Source: rest-api.md sections 3 and 4.

import type { Backlog, CatalogView, ConsumerRecord, QueueRecord } from "../core/index.ts";
import type { ConsumerView, MessageMetrics, QueueView } from "../contract/rest/index.ts";

/** Makes the way to show queues of one snapshot: producers are looked up once for all of them. */
export function queueViewer(view: CatalogView): (queue: QueueRecord) => QueueView {
  let producers: ReadonlyMap<string, readonly string[]> | undefined;
  return (queue) => {
    producers ??= producersByQueue(view);
    const scripts = producers.get(queue.id) ?? [];
    const consumers = view.consumersOf(queue.id).map((consumer) => showConsumer(queue, consumer));
    return {
      queue_id: queue.id,
      queue_name: queue.name,
      created_on: isoTime(queue.created_at_ms),
      modified_on: isoTime(queue.modified_at_ms),
      producers: scripts.map((script) => ({ type: "worker", script })),
      producers_total_count: scripts.length,
      consumers,
      consumers_total_count: consumers.length,
      settings: {
        delivery_delay: queue.delivery_delay_s,
        delivery_paused: queue.paused,
        message_retention_period: queue.retention_s,
      },
      ...(queue.jurisdiction !== null && { jurisdiction: queue.jurisdiction }),
    };
  };
}

function producersByQueue(view: CatalogView): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, Set<string>>();
  for (const worker of view.all("worker")) {
    for (const version of view.runningVersions(worker)) {
      for (const binding of version.bindings) {
        const queue = binding.type === "queue" ? view.resolve(binding.queue) : undefined;
        if (queue === undefined) continue;
        const scripts = found.get(queue.id);
        if (scripts === undefined) found.set(queue.id, new Set([worker.name]));
        else scripts.add(worker.name);
      }
    }
  }
  return new Map([...found].map(([queue, scripts]) => [queue, [...scripts]]));
}

/**
 * The script stands under both names that clients read. `service` must not appear: wrangler would then look the service up
 * and compare environments (rest-api.md section 4).
 */
export function showConsumer(queue: QueueRecord, consumer: ConsumerRecord): ConsumerView {
  const base = {
    consumer_id: consumer.id,
    created_on: isoTime(consumer.created_at_ms),
    queue_id: queue.id,
    queue_name: queue.name,
    dead_letter_queue: consumer.dead_letter_queue?.queue_name ?? "",
  };
  if (consumer.type === "http_pull") {
    return {
      ...base,
      type: "http_pull",
      settings: {
        batch_size: consumer.batch_size,
        max_retries: consumer.max_retries,
        visibility_timeout_ms: consumer.visibility_timeout_ms,
        retry_delay: consumer.retry_delay_s,
      },
    };
  }
  return {
    ...base,
    type: "worker",
    script: consumer.script,
    script_name: consumer.script,
    ...(consumer.environment !== null && { environment: consumer.environment }),
    settings: {
      batch_size: consumer.batch_size,
      max_retries: consumer.max_retries,
      max_wait_time_ms: consumer.max_wait_ms,
      max_concurrency: consumer.max_concurrency,
      retry_delay: consumer.retry_delay_s,
    },
  };
}

/** `oldest_message_timestamp_ms` is 0 when nothing is stored. */
export function metricsOf({ count, bytes, oldestSentAt }: Backlog): MessageMetrics {
  return { backlog_count: count, backlog_bytes: bytes, oldest_message_timestamp_ms: oldestSentAt ?? 0 };
}

export function isoTime(ms: number): string {
  return new Date(ms).toISOString();
}
