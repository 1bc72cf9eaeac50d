import assert from "node:assert/strict";
import { test } from "node:test";
import { isMillraceError, milliseconds, seconds } from "../../src/core/index.ts";
import type { QueueRecord } from "../../src/core/index.ts";
import { deleteQueue, removeConsumer, updateQueue } from "../../src/broker/index.ts";
import type { CatalogDecision, PullResponse } from "../../src/broker/index.ts";
import { defaultQueueSettings } from "../../src/contract/index.ts";
import { BrokerHarness, textOf } from "../support/broker-harness.ts";

async function pull(
  harness: BrokerHarness,
  queue: QueueRecord,
  batchSize = 10,
  visibilityMs = 30_000,
): Promise<PullResponse> {
  return await harness.broker.pulls.pull(queue.id, { batchSize, visibility: milliseconds(visibilityMs) });
}

const shown = (response: PullResponse): string[] =>
  response.messages.map((message) => `${textOf(message)}#${message.attempts}`);

test("concurrent pulls get distinct messages", async () => {
  await using harness = await BrokerHarness.open();
  const queue = await harness.queue("jobs");
  await harness.pull(queue);
  await harness.send(queue, "a", "b", "c", "d");
  const [one, two] = await Promise.all([pull(harness, queue, 2), pull(harness, queue, 2)]);
  assert.deepEqual([...shown(one), ...shown(two)].toSorted(), ["a#1", "b#1", "c#1", "d#1"]);
  assert.equal(two.backlog.count, 4);
  assert.deepEqual(shown(await pull(harness, queue)), []);
});

test("acked messages are gone, retried ones come back at once or after their delay", async () => {
  await using harness = await BrokerHarness.open();
  const queue = await harness.queue("jobs");
  await harness.pull(queue);
  await harness.send(queue, "a", "b", "c");
  const leases = (await pull(harness, queue)).messages.map(({ lease }) => lease);
  const [a = "", b = "", c = ""] = leases;
  const response = await harness.broker.pulls.ack(queue.id, {
    acks: [a],
    retries: [
      { lease: b, delay: undefined },
      { lease: c, delay: seconds(10) },
    ],
  });
  assert.deepEqual([response.acked, response.retried, response.warnings.size], [1, 2, 0]);
  assert.deepEqual(shown(await pull(harness, queue)), ["b#2"]);
  await harness.time.advance(10_000);
  assert.deepEqual(shown(await pull(harness, queue)), ["c#2"]);
});

test("an expired lease costs an attempt, and the last one ends in the dead letter queue", async () => {
  await using harness = await BrokerHarness.open();
  const queue = await harness.queue("jobs");
  await harness.pull(queue, { max_retries: 1 }, "jobs-dlq");
  await harness.send(queue, "a");
  assert.deepEqual(shown(await pull(harness, queue)), ["a#1"]);
  await harness.time.advance(30_000);
  assert.deepEqual(shown(await pull(harness, queue)), ["a#2"]);
  await harness.time.advance(30_000);
  assert.deepEqual(shown(await pull(harness, queue)), []);
  const deadLetters = harness.controlPlane.view.queueByName("jobs-dlq");
  assert.ok(deadLetters);
  assert.deepEqual((await harness.engine.peek(deadLetters.id, { max: 1 })).map(textOf), ["a"]);
});

test("a retry on the last attempt goes to the dead letter queue", async () => {
  await using harness = await BrokerHarness.open();
  const queue = await harness.queue("jobs");
  await harness.pull(queue, { max_retries: 0 }, "jobs-dlq");
  await harness.send(queue, "a");
  const { messages } = await pull(harness, queue);
  const { retried } = await harness.broker.pulls.ack(queue.id, {
    acks: [],
    retries: messages.map(({ lease }) => ({ lease, delay: undefined })),
  });
  assert.equal(retried, 1);
  assert.equal((await harness.engine.metrics(queue.id)).accounting.deadLettered, 1);
});

test("a late ack is honoured with a warning, though somebody else holds the message meanwhile", async () => {
  await using harness = await BrokerHarness.open();
  const queue = await harness.queue("jobs");
  await harness.pull(queue);
  await harness.send(queue, "a");
  const first = (await pull(harness, queue, 1, 1_000)).messages[0]?.lease ?? "";
  await harness.time.advance(1_000);
  const second = (await pull(harness, queue)).messages[0]?.lease ?? "";
  const late = await harness.broker.pulls.ack(queue.id, { acks: [first], retries: [] });
  assert.equal(late.acked, 1);
  assert.match(late.warnings.get(first) ?? "", /lease had ended/);
  const again = await harness.broker.pulls.ack(queue.id, { acks: [second], retries: [] });
  assert.match(again.warnings.get(second) ?? "", /unknown lease/);
  assert.equal((await harness.engine.metrics(queue.id)).backlog.count, 0);
});

test("nonsense for a lease id is a warning, not an error", async () => {
  await using harness = await BrokerHarness.open();
  const queue = await harness.queue("jobs");
  await harness.pull(queue);
  const response = await harness.broker.pulls.ack(queue.id, {
    acks: ["nonsense", "", "1-nonsense"],
    retries: [{ lease: "🦊", delay: undefined }],
  });
  assert.deepEqual([response.acked, response.retried, response.warnings.size], [0, 0, 4]);
});

test("pull of a paused queue, of a queue without a pull consumer, and of no queue is refused with its code", async () => {
  await using harness = await BrokerHarness.open();
  const paused = await harness.queue("paused", { paused: true });
  await harness.pull(paused);
  await assert.rejects(
    pull(harness, paused),
    (error) => isMillraceError(error, "QUEUE_PAUSED") && /queue_delivery_paused/.test(error.message),
  );
  const none = await harness.queue("none");
  await assert.rejects(pull(harness, none), (error) => isMillraceError(error, "CONSUMER_TYPE_MISMATCH"));
  const gone = { ...none, id: "0".repeat(32) as QueueRecord["id"] };
  await assert.rejects(pull(harness, gone), (error) => isMillraceError(error, "QUEUE_NOT_FOUND"));
});

test("a long poll is answered the moment a message arrives, or empty when its wait is over", async () => {
  await using harness = await BrokerHarness.open();
  const queue = await harness.queue("jobs");
  await harness.pull(queue);
  const request = { batchSize: 5, visibility: seconds(30), wait: seconds(20) };
  const first = harness.broker.pulls.pull(queue.id, request);
  await harness.time.advance(5_000);
  await harness.send(queue, "a");
  assert.deepEqual(shown(await first), ["a#1"]);
  const second = harness.broker.pulls.pull(queue.id, request);
  await harness.time.advance(20_000);
  assert.deepEqual(shown(await second), []);
});

test("a long poll sees a delayed message when it becomes due, and a lease that ends", async () => {
  await using harness = await BrokerHarness.open();
  const queue = await harness.queue("jobs", { deliveryDelaySeconds: 3 });
  await harness.pull(queue);
  await harness.send(queue, "a");
  const request = { batchSize: 5, visibility: seconds(4), wait: seconds(60) };
  const first = harness.broker.pulls.pull(queue.id, request);
  await harness.time.advance(3_000);
  assert.deepEqual(shown(await first), ["a#1"]);
  const second = harness.broker.pulls.pull(queue.id, request);
  await harness.time.advance(4_000);
  assert.deepEqual(shown(await second), ["a#2"]);
});

test("a client that goes away frees its long poll and leases nothing", async () => {
  await using harness = await BrokerHarness.open();
  const queue = await harness.queue("jobs");
  await harness.pull(queue);
  const away = new AbortController();
  const waiting = harness.broker.pulls.pull(queue.id, {
    batchSize: 5,
    visibility: seconds(30),
    wait: seconds(60),
    signal: away.signal,
  });
  await harness.time.settle();
  away.abort();
  assert.deepEqual(shown(await waiting), []);
  await harness.send(queue, "a");
  assert.equal((await harness.engine.peek(queue.id, { max: 1 }))[0]?.state, "ready");
});

/** Long polls, so many at once; `answers` grows as they are answered. */
function poll(harness: BrokerHarness, queue: QueueRecord, count: number, signal?: AbortSignal) {
  const answers: unknown[] = [];
  const waiting = Array.from({ length: count }, async () => {
    const request = { batchSize: 2, visibility: seconds(300), wait: seconds(60), signal };
    answers.push(await harness.broker.pulls.pull(queue.id, request).then(shown, (error: unknown) => error));
  });
  return { answers, all: Promise.all(waiting) };
}

function countLeases({ engine }: BrokerHarness): { readonly count: number } {
  const lease = engine.lease.bind(engine);
  const counted = { count: 0 };
  engine.lease = async (...call) => {
    counted.count += 1;
    return await lease(...call);
  };
  return counted;
}

test("of many long polls a message wakes one, and a batch as many as it takes", async () => {
  await using harness = await BrokerHarness.open();
  const queue = await harness.queue("jobs");
  await harness.pull(queue);
  const { answers, all } = poll(harness, queue, 200);
  await harness.time.settle();
  const leases = countLeases(harness);
  await harness.send(queue, "a");
  await harness.time.settle();
  assert.deepEqual(answers, [["a#1"]]);
  assert.equal(leases.count, 1);
  await harness.send(queue, "b", "c", "d", "e", "f");
  await harness.time.settle();
  assert.deepEqual(answers.slice(1), [["b#1", "c#1"], ["d#1", "e#1"], ["f#1"]]);
  assert.equal(leases.count, 4);
  await harness.time.advance(60_000);
  await all;
  assert.deepEqual(
    answers.slice(4),
    Array.from({ length: 196 }, () => []),
  );
});

test("a message that arrives while a long poll is still looking is not missed", async () => {
  await using harness = await BrokerHarness.open();
  const queue = await harness.queue("jobs");
  await harness.pull(queue);
  const lease = harness.engine.lease.bind(harness.engine);
  harness.engine.lease = async (...call) => {
    harness.engine.lease = lease;
    const nothing = await lease(...call);
    await harness.send(queue, "a");
    return nothing;
  };
  const { answers } = poll(harness, queue, 1);
  await harness.time.settle();
  assert.deepEqual(answers, [["a#1"]]);
});

test("a client that goes away just as a message comes leaves it to the next", async () => {
  await using harness = await BrokerHarness.open();
  const queue = await harness.queue("jobs");
  await harness.pull(queue);
  const away = new AbortController();
  const gone = poll(harness, queue, 1, away.signal);
  await harness.time.settle();
  const next = poll(harness, queue, 1);
  await harness.time.settle();
  const stop = harness.engine.onWake(() => away.abort());
  await harness.send(queue, "a");
  await harness.time.settle();
  stop();
  assert.deepEqual([gone.answers, next.answers], [[[]], [["a#1"]]]);
});

test("a queue that is paused, deleted or loses its consumer answers all who wait", async () => {
  for (const [change, code] of [
    ["pause", "QUEUE_PAUSED"],
    ["delete", "QUEUE_NOT_FOUND"],
    ["detach", "CONSUMER_TYPE_MISMATCH"],
  ] as const) {
    await using harness = await BrokerHarness.open();
    const queue = await harness.queue("jobs");
    await harness.pull(queue);
    const { answers } = poll(harness, queue, 3);
    await harness.time.settle();
    await harness.controlPlane.change("test", (view, context): CatalogDecision<unknown> => {
      const [consumer] = view.consumersOf(queue.id);
      assert.ok(consumer);
      if (change === "detach") return removeConsumer(view, context, { queue: queue.id, consumer: consumer.id });
      if (change === "delete") return deleteQueue(view, context, queue.id);
      return updateQueue(view, context, { id: queue.id, settings: { ...defaultQueueSettings, paused: true } });
    });
    await harness.time.settle();
    assert.deepEqual(
      answers.map((answer) => isMillraceError(answer, code)),
      [true, true, true],
      change,
    );
  }
});

test("an extended lease ends later", async () => {
  await using harness = await BrokerHarness.open();
  const queue = await harness.queue("jobs");
  await harness.pull(queue);
  await harness.send(queue, "a");
  const lease = (await pull(harness, queue, 1, 10_000)).messages[0]?.lease ?? "";
  await harness.time.advance(9_000);
  assert.deepEqual(await harness.broker.pulls.extend(queue.id, [lease], seconds(10)), { stale: [] });
  await harness.time.advance(9_000);
  assert.deepEqual(shown(await pull(harness, queue)), []);
  await harness.time.advance(1_000);
  assert.deepEqual(shown(await pull(harness, queue)), ["a#2"]);
});
