// What Prometheus gets to see.
import assert from "node:assert/strict";
import { test } from "node:test";
import { epochMs } from "../../src/core/index.ts";
import type { Backlog } from "../../src/core/index.ts";
import { createMetrics, observeLogger } from "../../src/observability/index.ts";
import type { QueueReading } from "../../src/observability/index.ts";

function reading(queue: string, backlog: Backlog): QueueReading {
  const gone = { acked: 1, deadLettered: 2, expired: 3, purged: 4, dropped: 5 };
  return { queue, backlog, held: backlog.count, accounting: { accepted: backlog.count + 15, ...gone } };
}

const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

test("events are counted, whatever the log shows of them", async () => {
  const metrics = createMetrics({ queues: async () => [], now: () => 0, process: false });
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
    'millrace_messages_delivered_total{queue="events"} 10',
    'millrace_batches_delivered_total{queue="events"} 1',
    'millrace_messages_retried_total{queue="events"} 2',
    'millrace_batches_failed_total{queue="events",outcome="exception"} 1',
    'millrace_worker_errors_total{worker="app"} 1',
    "millrace_send_duration_seconds_count 2",
    'millrace_batch_duration_seconds_count{queue="events"} 1',
  ]) {
    assert.ok(text.includes(`${line}\n`), line);
  }
});

test("the backlog is what it is at the moment of asking", async () => {
  let all: readonly QueueReading[] = [
    reading("events", { count: 3, bytes: 600, oldestSentAt: epochMs(1_000) }),
    reading("idle", { count: 0, bytes: 0, oldestSentAt: undefined }),
  ];
  const metrics = createMetrics({ queues: async () => all, now: () => 61_000, process: false });
  const text = await metrics.render();
  assert.match(text, /^millrace_backlog_messages\{queue="events"\} 3$/m);
  assert.match(text, /^millrace_backlog_bytes\{queue="events"\} 600$/m);
  assert.match(text, /^millrace_oldest_message_age_seconds\{queue="events"\} 60$/m);
  assert.match(text, /^millrace_oldest_message_age_seconds\{queue="idle"\} 0$/m);
  all = [];
  assert.doesNotMatch(await metrics.render(), /queue="events"/);
});

test("what the store counts is shown as it counts it, and whether it adds up", async () => {
  const sound = reading("sound", { count: 3, bytes: 6, oldestSentAt: epochMs(1) });
  let all: readonly QueueReading[] = [sound, { ...sound, queue: "lossy", held: 1 }];
  const metrics = createMetrics({ queues: async () => all, now: () => 0, process: false });
  await metrics.render();
  const text = await metrics.render();
  for (const line of [
    'millrace_messages_accepted_total{queue="sound"} 18',
    'millrace_messages_acked_total{queue="sound"} 1',
    'millrace_messages_dead_lettered_total{queue="sound"} 2',
    'millrace_messages_expired_total{queue="sound"} 3',
    'millrace_messages_purged_total{queue="sound"} 4',
    'millrace_messages_dropped_total{queue="sound"} 5',
    'millrace_conservation_imbalance{queue="sound"} 0',
    'millrace_conservation_imbalance{queue="lossy"} 2',
  ]) {
    assert.ok(text.includes(`${line}\n`), line);
  }
  all = [sound];
  assert.doesNotMatch(await metrics.render(), /lossy/);
});

test("the process can be watched too", async () => {
  const metrics = createMetrics({ queues: async () => [], now: () => 0, process: true });
  const text = await metrics.render();
  assert.match(text, /^process_resident_memory_bytes \d+/m);
  assert.match(text, /^nodejs_eventloop_lag_min_seconds 0\.\d+/m);
});
