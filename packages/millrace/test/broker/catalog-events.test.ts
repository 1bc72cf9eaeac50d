import assert from "node:assert/strict";
import { test } from "node:test";
import { catalogEvents, deleteQueue, updateQueue } from "../../src/broker/index.ts";
import { BrokerHarness } from "../support/broker-harness.ts";

test("tells what changed, and nothing when nothing did", async () => {
  await using harness = await BrokerHarness.open();
  const { controlPlane } = harness;
  let view = controlPlane.view;
  const news = (): string[] => {
    const events = catalogEvents(view, controlPlane.view).map(
      ({ event, fields }) => `${event} ${String(fields["queue"] ?? fields["worker"])}`,
    );
    view = controlPlane.view;
    return events;
  };
  const queue = await harness.queue("events");
  assert.deepEqual(news(), ["queue.created events"]);
  await harness.push(queue, {}, "events-dlq");
  assert.deepEqual(news(), ["deploy.done my-app", "queue.created events-dlq", "consumer.attached events"]);
  const settings = { deliveryDelaySeconds: 0, retentionSeconds: 345_600, paused: true };
  await controlPlane.change("test", (current, context) => updateQueue(current, context, { id: queue.id, settings }));
  assert.deepEqual(news(), ["queue.paused events"]);
  await controlPlane.change("test", (current, context) => deleteQueue(current, context, queue.id));
  assert.deepEqual(news(), ["queue.deleted events"]);
  assert.deepEqual(news(), []);
});
