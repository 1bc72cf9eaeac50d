// What Prometheus gets to see.
import assert from "node:assert/strict";
import { test } from "node:test";
import { epochMs } from "../../src/core/index.ts";
import { createMetrics, observeLogger } from "../../src/observability/index.ts";
import type { QueueBacklog } from "../../src/observability/index.ts";

const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

test("events are counted, whatever the log shows of them", async () => {
  const metrics = createMetrics({ backlogs: async () => [], now: () => 0, process: false });
  const logger = observeLogger(silent, metrics.observe);
  logger.debug("message.accepted", { queue: "events", count: 10, ms: 2 });
  logger.debug("message.accepted", { queue: "events", count: 1, ms: 1 });
  logger.debug("batch.delivered", { queue: "events", worker: "app", count: 10 });
  const result = { acked: 6, retried: 2, deadLettered: 1, dropped: 1, outcome: "exception", ms: 40 };
  logger.debug("batch.failed", { queue: "events", worker: "app", ...result });
  logger.debug("worker.error", { worker: "app" });
  logger.debug("something.else", {});
  const text = await metrics.render();
  for (const line of [
    'millrace_messages_accepted_total{queue="events"} 11',
    'millrace_messages_delivered_total{queue="events"} 10',
    'millrace_batches_delivered_total{queue="events"} 1',
    'millrace_messages_acked_total{queue="events"} 6',
    'millrace_messages_retried_total{queue="events"} 2',
    'millrace_messages_dead_lettered_total{queue="events"} 1',
    'millrace_messages_dropped_total{queue="events"} 1',
    'millrace_batches_failed_total{queue="events",outcome="exception"} 1',
    'millrace_worker_errors_total{worker="app"} 1',
    "millrace_send_duration_seconds_count 2",
    'millrace_batch_duration_seconds_count{queue="events"} 1',
  ]) {
    assert.ok(text.includes(`${line}\n`), line);
  }
});

test("the backlog is what it is at the moment of asking", async () => {
  let all: readonly QueueBacklog[] = [
    { queue: "events", backlog: { count: 3, bytes: 600, oldestSentAt: epochMs(1_000) } },
    { queue: "idle", backlog: { count: 0, bytes: 0, oldestSentAt: undefined } },
  ];
  const metrics = createMetrics({ backlogs: async () => all, now: () => 61_000, process: false });
  const text = await metrics.render();
  assert.match(text, /^millrace_backlog_messages\{queue="events"\} 3$/m);
  assert.match(text, /^millrace_backlog_bytes\{queue="events"\} 600$/m);
  assert.match(text, /^millrace_oldest_message_age_seconds\{queue="events"\} 60$/m);
  assert.match(text, /^millrace_oldest_message_age_seconds\{queue="idle"\} 0$/m);
  all = [];
  assert.doesNotMatch(await metrics.render(), /queue="events"/);
});

test("the process can be watched too", async () => {
  const metrics = createMetrics({ backlogs: async () => [], now: () => 0, process: true });
  assert.match(await metrics.render(), /^process_resident_memory_bytes \d+/m);
});
