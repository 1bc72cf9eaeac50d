import assert from "node:assert/strict";
import { test } from "node:test";
import { gatherQueueFacts } from "../../src/broker/index.ts";
import type { WorkerCondition } from "../../src/broker/index.ts";
import { explain } from "../../src/core/index.ts";
import type { QueueRecord } from "../../src/core/index.ts";
import { BrokerHarness, threw } from "../support/broker-harness.ts";

const ready: WorkerCondition = { state: "ready", detail: undefined };

async function codes(harness: BrokerHarness, queue: QueueRecord, condition = ready): Promise<string[]> {
  const { engine, controlPlane, broker, time } = harness;
  const facts = await gatherQueueFacts(
    { engine, controlPlane, broker, clock: time, condition: () => condition },
    queue.id,
  );
  return explain(facts).map(({ code }) => code);
}

test("explains a real queue through its life", async () => {
  await using harness = await BrokerHarness.open();
  const queue = await harness.queue("events");
  assert.deepEqual(await codes(harness, queue), ["EMPTY"]);
  await harness.send(queue, "a");
  assert.deepEqual(await codes(harness, queue), ["NO_CONSUMER"]);
  harness.target.setReady(false);
  await harness.push(queue, { retry_delay: 60, max_wait_time_ms: 5_000 });
  assert.deepEqual(await codes(harness, queue, { state: "crashed", detail: "exit 1" }), ["WORKER_CRASHED"]);
  harness.target.setReady(true);
  assert.deepEqual(await codes(harness, queue), ["WAITING_FOR_BATCH"]);
  harness.target.handler = () => threw();
  await harness.time.advance(5_000);
  assert.deepEqual(await codes(harness, queue), ["HANDLER_FAILING", "ALL_DELAYED"]);
});
