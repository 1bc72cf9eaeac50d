import assert from "node:assert/strict";
import { test } from "node:test";
import { updateQueue } from "../../src/broker/index.ts";
import { isMillraceError } from "../../src/core/index.ts";
import type { QueueRecord } from "../../src/core/index.ts";
import { BrokerHarness } from "../support/broker-harness.ts";

async function limit(
  harness: BrokerHarness,
  queue: QueueRecord,
  intakeLimits: Parameters<typeof updateQueue>[2]["intakeLimits"],
): Promise<void> {
  await harness.controlPlane.change("test", (view, context) =>
    updateQueue(view, context, { id: queue.id, intakeLimits }),
  );
}

const half = "x".repeat(500_000 / 5);

test("a queue takes messages up to its backlog limit, and again once there is room", async () => {
  await using harness = await BrokerHarness.open();
  const queue = await harness.queue("events");
  await limit(harness, queue, { backlog_limit_bytes: 1_000_000 });
  for (let sent = 0; sent < 10; sent += 1) await harness.send(queue, half);
  await assert.rejects(
    harness.send(queue, "one more"),
    (error) => isMillraceError(error, "BACKLOG_FULL") && error.message.startsWith("Storage Limit Exceeded"),
  );
  const [first] = await harness.engine.peek(queue.id, { max: 1 });
  assert.ok(first);
  await harness.engine.purgeByRef(queue.id, [first.ref]);
  await harness.send(queue, "one more");
  assert.equal((await harness.engine.metrics(queue.id)).backlog.count, 10);
});

test("a rate limit is off unless set, refuses what is too fast and stores nothing of it", async () => {
  await using harness = await BrokerHarness.open();
  const queue = await harness.queue("events");
  for (let sent = 0; sent < 20; sent += 1) await harness.send(queue, "a");
  await limit(harness, queue, { messages_per_second: 2 });
  await harness.send(queue, "b", "c");
  await assert.rejects(
    harness.send(queue, "d"),
    (error) => isMillraceError(error, "RATE_LIMITED") && error.message.startsWith("Too Many Requests"),
  );
  await harness.time.advance(500);
  await harness.send(queue, "d");
  assert.equal((await harness.engine.metrics(queue.id)).backlog.count, 23);
});
