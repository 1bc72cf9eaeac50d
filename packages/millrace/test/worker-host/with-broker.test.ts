// The whole way: a Worker sends, the broker batches, the Worker's queue handler gets it; failures come back by the rules.

import assert from "node:assert/strict";
import { test } from "node:test";
import { attachConsumer, Broker } from "../../src/broker/index.ts";
import { parseWorkerConsumerSettings } from "../../src/contract/index.ts";
import type { Holder, QueueName, QueueRecord, WorkerName } from "../../src/core/index.ts";
import { systemClock, systemTimers } from "../../src/system.ts";
import { eventsBinding, HostHarness } from "./host-harness.ts";

async function withBroker(harness: HostHarness, run: () => Promise<void>): Promise<void> {
  const broker = await Broker.start({
    engine: harness.engine,
    controlPlane: harness.controlPlane,
    target: harness.host,
    clock: systemClock,
    timers: systemTimers,
    logger: harness.log,
    holder: `server:${"0".repeat(32)}` as Holder,
  });
  try {
    await run();
  } finally {
    await broker.stop(AbortSignal.abort());
  }
}

async function consume(harness: HostHarness, queue: QueueRecord, settings: Record<string, number>): Promise<void> {
  await harness.controlPlane.change("test", (view, context) =>
    attachConsumer(view, context, {
      queue: queue.id,
      definition: {
        type: "worker",
        script: "app" as WorkerName,
        environment: undefined,
        deadLetterQueue: "events-dlq" as QueueName,
        settings: parseWorkerConsumerSettings(settings),
      },
    }),
  );
}

const source = `export default {
  async fetch(request, env) {
    for (const word of (await request.text()).split(" ")) await env.EVENTS.send({ word });
    return new Response("sent");
  },
  async queue(batch) {
    for (const message of batch.messages) {
      console.log("handling " + message.body.word + " attempt " + message.attempts);
      if (message.body.word === "die" && message.attempts === 1) { await new Promise((done) => setTimeout(done, 1000000)); }
      if (message.body.word === "fail") message.retry();
    }
  },
};`;

test("what is sent is handled, what fails is retried and ends in the dead letter queue", async () => {
  await using harness = await HostHarness.open();
  const queue = await harness.queue("events");
  const dead = await harness.queue("events-dlq");
  await harness.deploy({ source, bindings: [eventsBinding(queue)] });
  await consume(harness, queue, { batch_size: 2, max_wait_time_ms: 0, max_retries: 2 });
  await withBroker(harness, async () => {
    assert.equal(await harness.fetch("/", { body: "one fail two" }), "sent");
    for (const line of ["one attempt 1", "two attempt 1", "fail attempt 1", "fail attempt 2", "fail attempt 3"]) {
      await harness.line(`handling ${line}`);
    }
    await harness.until(
      () => harness.log.events.some(({ event }) => event === "message.deadLettered"),
      "it is a dead letter",
    );
  });
  const [letter] = await harness.stored(dead);
  assert.equal(Buffer.from(letter?.body ?? []).toString(), '{"word":"fail"}');
});

test("a batch whose process dies is delivered again", async () => {
  await using harness = await HostHarness.open();
  const queue = await harness.queue("events");
  await harness.queue("events-dlq");
  await harness.deploy({ source, bindings: [eventsBinding(queue)] });
  await consume(harness, queue, { batch_size: 10, max_wait_time_ms: 0, max_retries: 3 });
  await withBroker(harness, async () => {
    await harness.fetch("/", { body: "die" });
    await harness.line("handling die attempt 1");
    process.kill(harness.host.describe("app" as WorkerName)?.pid ?? 0, "SIGKILL");
    await harness.line("handling die attempt 2");
  });
});
