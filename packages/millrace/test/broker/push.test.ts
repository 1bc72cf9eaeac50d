import assert from "node:assert/strict";
import { test } from "node:test";
import { deleteQueue, removeConsumer, updateQueue } from "../../src/broker/index.ts";
import { epochMs, seconds } from "../../src/core/index.ts";
import type { QueueRecord } from "../../src/core/index.ts";
import { BrokerHarness, done, textOf, threw } from "../support/broker-harness.ts";
import type { Handler } from "../support/broker-harness.ts";

const numbers = (count: number): string[] => Array.from({ length: count }, (_, index) => String(index));

test("ten sends arrive as one batch of ten, at once", async () => {
  await using harness = await BrokerHarness.open();
  const queue = await harness.queue("events");
  await harness.push(queue, { batch_size: 10, max_wait_time_ms: 5_000 });
  for (const text of numbers(10)) await harness.send(queue, text);
  await harness.time.settle();
  assert.deepEqual(harness.delivered(), [numbers(10).map((text) => `${text}#1`)]);
});

test("three sends arrive as one batch after five seconds, not before", async () => {
  await using harness = await BrokerHarness.open();
  const queue = await harness.queue("events");
  await harness.push(queue, { batch_size: 10, max_wait_time_ms: 5_000 });
  for (const text of numbers(3)) await harness.send(queue, text);
  await harness.time.advance(4_999);
  assert.equal(harness.target.deliveries.length, 0);
  await harness.time.advance(1);
  assert.deepEqual(harness.delivered(), [["0#1", "1#1", "2#1"]]);
});

test("an idle queue invokes nothing", async () => {
  await using harness = await BrokerHarness.open();
  await harness.push(await harness.queue("events"), { max_wait_time_ms: 0 });
  await harness.time.advance(600_000);
  assert.equal(harness.target.deliveries.length, 0);
});

test("a handler that retries one of ten gets only that one again", async () => {
  await using harness = await BrokerHarness.open();
  const queue = await harness.queue("events");
  await harness.push(queue, { batch_size: 10, max_wait_time_ms: 5_000 });
  harness.target.handler = ({ messages }) =>
    done({
      retryMessages: messages
        .filter((message) => textOf(message) === "7" && message.attempts === 1)
        .map(({ id }) => ({ id, delay: undefined })),
    });
  await harness.send(queue, ...numbers(10));
  await harness.time.advance(10_000);
  assert.deepEqual(harness.delivered().slice(1), [["7#2"]]);
  assert.equal((await harness.engine.metrics(queue.id)).backlog.count, 0);
});

test("a handler that always throws sees attempts 1 to 4, then the message is in the dead letter queue with its id and time", async () => {
  await using harness = await BrokerHarness.open();
  const queue = await harness.queue("events");
  await harness.push(queue, { max_retries: 3, max_wait_time_ms: 1_000, retry_delay: 2 }, "events-dlq");
  harness.target.handler = () => threw();
  await harness.send(queue, "lost?");
  const sentAt = harness.time.now();
  await harness.time.advance(60_000);
  assert.deepEqual(harness.delivered(), [["lost?#1"], ["lost?#2"], ["lost?#3"], ["lost?#4"]]);
  const failed = harness.log.events.find(({ event }) => event === "batch.failed");
  assert.deepEqual([failed?.fields["retry_in_ms"], failed?.fields["batch_timeout_ms"]], [2_000, 1_000]);
  const original = harness.target.deliveries[0]?.messages[0];
  const deadLetters = harness.controlPlane.view.queueByName("events-dlq");
  assert.ok(deadLetters);
  const [letter] = await harness.engine.peek(deadLetters.id, { max: 10 });
  assert.ok(letter && original);
  assert.deepEqual([letter.id, letter.sentAt, textOf(letter), letter.attempts], [original.id, sentAt, "lost?", 0]);
  assert.equal((await harness.engine.metrics(queue.id)).backlog.count, 0);
  assert.ok(
    harness.log.events.some(
      ({ event, fields }) => event === "message.deadLettered" && fields["messageId"] === original.id,
    ),
  );
});

test("explicit acks hold when the handler throws", async () => {
  await using harness = await BrokerHarness.open();
  const queue = await harness.queue("events");
  await harness.push(queue, { max_wait_time_ms: 0, batch_size: 2, max_retries: 1 });
  harness.target.handler = ({ messages }) => {
    const outcome = threw();
    return outcome.kind === "completed"
      ? {
          ...outcome,
          result: { ...outcome.result, explicitAcks: messages.slice(0, 1).map(({ id }) => id) },
        }
      : outcome;
  };
  await harness.send(queue, "a", "b");
  await harness.time.advance(1_000);
  assert.deepEqual(harness.delivered(), [["a#1", "b#1"], ["b#2"]]);
});

test("retry delays: the message's, else retryAll's, else the consumer's", async () => {
  await using harness = await BrokerHarness.open();
  const queue = await harness.queue("events");
  await harness.push(queue, { max_wait_time_ms: 0, batch_size: 3, retry_delay: 30 });
  const startedAt = harness.time.now();
  const seen: [string, number][] = [];
  harness.target.handler = ({ messages }) => {
    for (const message of messages) seen.push([textOf(message), harness.time.now() - startedAt]);
    const [first] = messages;
    return messages.length === 3 && first !== undefined
      ? done({ retryBatch: { retry: true, delay: seconds(10) }, retryMessages: [{ id: first.id, delay: seconds(0) }] })
      : done();
  };
  await harness.send(queue, "own", "batch", "batch too");
  await harness.time.advance(60_000);
  assert.deepEqual(seen.slice(3), [
    ["own", 0],
    ["batch", 10_000],
    ["batch too", 10_000],
  ]);
});

test("delayed messages arrive when due, in one alarm's care", async () => {
  await using harness = await BrokerHarness.open();
  const queue = await harness.queue("events", { deliveryDelaySeconds: 60 });
  await harness.push(queue, { max_wait_time_ms: 0 });
  await harness.send(queue, "later");
  await harness.time.advance(59_999);
  assert.equal(harness.target.deliveries.length, 0);
  await harness.time.advance(1);
  assert.deepEqual(harness.delivered(), [["later#1"]]);
});

test("max_concurrency bounds the deliveries at once, and what waits goes when a place is free", async () => {
  await using harness = await BrokerHarness.open();
  const queue = await harness.queue("events");
  await harness.push(queue, { batch_size: 1, max_wait_time_ms: 0, max_concurrency: 3 });
  const finish: (() => void)[] = [];
  harness.target.handler = async () => {
    await new Promise<void>((resolve) => void finish.push(resolve));
    return done();
  };
  await harness.send(queue, ...numbers(20));
  for (let step = 0; step < 40; step += 1) {
    await harness.time.settle();
    finish.shift()?.();
  }
  await harness.time.settle();
  assert.equal(harness.target.deliveries.length, 20);
  assert.equal(harness.target.mostRunning, 3);
});

test("a paused queue delivers nothing, keeps what is sent, and goes on when resumed", async () => {
  await using harness = await BrokerHarness.open();
  const queue = await harness.queue("events");
  await harness.push(queue, { max_wait_time_ms: 0 });
  const pause = async (paused: boolean): Promise<void> => await setPaused(harness, queue, paused);
  await pause(true);
  await harness.send(queue, "a");
  await harness.time.advance(10_000);
  assert.equal(harness.target.deliveries.length, 0);
  await pause(false);
  await harness.time.settle();
  assert.deepEqual(harness.delivered(), [["a#1"]]);
});

test("a batch that never reached a handler costs no attempt", async () => {
  await using harness = await BrokerHarness.open();
  const queue = await harness.queue("events");
  await harness.push(queue, { max_wait_time_ms: 0, max_retries: 0 });
  let tries = 0;
  harness.target.handler = () => ((tries += 1) < 4 ? { kind: "notDelivered", detail: "connection refused" } : done());
  await harness.send(queue, "a");
  await harness.time.advance(10_000);
  assert.deepEqual(harness.delivered(), [["a#1"], ["a#1"], ["a#1"], ["a#1"]]);
});

test("a handler whose process died has had its delivery", async () => {
  await using harness = await BrokerHarness.open();
  const queue = await harness.queue("events");
  await harness.push(queue, { max_wait_time_ms: 0 });
  const outcomes: ReturnType<Handler>[] = [{ kind: "died", detail: "killed" }, done()];
  harness.target.handler = () => outcomes.shift() ?? done();
  await harness.send(queue, "a");
  await harness.time.advance(1_000);
  assert.deepEqual(harness.delivered(), [["a#1"], ["a#2"]]);
});

test("a Worker that is not ready gets nothing until it is", async () => {
  await using harness = await BrokerHarness.open();
  const queue = await harness.queue("events");
  await harness.push(queue, { max_wait_time_ms: 0 });
  harness.target.setReady(false);
  await harness.send(queue, "a");
  await harness.time.advance(60_000);
  assert.equal(harness.target.deliveries.length, 0);
  harness.target.setReady(true);
  await harness.time.settle();
  assert.deepEqual(harness.delivered(), [["a#1"]]);
});

test("a drain waits for the delivery under way and settles it", async () => {
  await using harness = await BrokerHarness.open();
  const queue = await harness.queue("events");
  await harness.push(queue, { max_wait_time_ms: 0 });
  let finish = (): void => undefined;
  harness.target.handler = async () => {
    await new Promise<void>((resolve) => (finish = resolve));
    return done();
  };
  await harness.send(queue, "a");
  await harness.time.settle();
  let stopped = false;
  const stopping = harness.broker.stop().then(() => (stopped = true));
  await harness.time.settle();
  assert.equal(stopped, false);
  finish();
  await stopping;
  assert.equal((await harness.engine.metrics(queue.id)).accounting.acked, 1);
});

test("a drain that gives up returns the batch without costing an attempt", async () => {
  await using harness = await BrokerHarness.open();
  const queue = await harness.queue("events");
  await harness.push(queue, { max_wait_time_ms: 0, max_retries: 0 });
  harness.target.handler = async (_delivery, signal) => {
    await new Promise<void>((resolve) => {
      signal.addEventListener("abort", () => resolve());
    });
    return { kind: "cancelled" };
  };
  await harness.send(queue, "a");
  await harness.time.settle();
  const giveUp = new AbortController();
  const stopping = harness.broker.stop(giveUp.signal);
  giveUp.abort();
  await stopping;
  harness.target.handler = () => done();
  await harness.startBroker();
  await harness.time.settle();
  assert.deepEqual(harness.delivered(), [["a#1"], ["a#1"]]);
});

test("what a dead server held is delivered by the next one, the attempt not counted", async () => {
  await using harness = await BrokerHarness.open();
  const queue = await harness.queue("events");
  await harness.send(queue, "a", "b");
  const lost = "server:ffffffffffffffffffffffffffffffff" as Parameters<typeof harness.engine.lease>[1]["holder"];
  await harness.engine.lease(queue.id, { max: 10, window: undefined, visibility: seconds(900), holder: lost });
  await harness.broker.stop();
  await harness.startBroker();
  await harness.push(queue, { max_wait_time_ms: 0 });
  await harness.time.settle();
  assert.deepEqual(harness.delivered(), [["a#1", "b#1"]]);
});

test("messages expire by retention, paused or not, and are counted", async () => {
  await using harness = await BrokerHarness.open();
  const queue = await harness.queue("events", { retentionSeconds: 60, paused: true });
  await harness.send(queue, "old");
  await harness.time.advance(30_000);
  await harness.send(queue, "young");
  await harness.time.advance(31_000);
  assert.deepEqual((await harness.engine.peek(queue.id, { max: 10 })).map(textOf), ["young"]);
  assert.equal((await harness.engine.metrics(queue.id)).accounting.expired, 1);
});

test("a dead letter queue that was deleted is made again rather than losing the message", async () => {
  await using harness = await BrokerHarness.open();
  const queue = await harness.queue("events");
  await harness.push(queue, { max_wait_time_ms: 0, max_retries: 0 }, "events-dlq");
  const before = harness.controlPlane.view.queueByName("events-dlq");
  assert.ok(before);
  await harness.controlPlane.change("test", (view, context) => deleteQueue(view, context, before.id));
  harness.target.handler = () => threw();
  await harness.send(queue, "a");
  await harness.time.advance(1_000);
  const after = harness.controlPlane.view.queueByName("events-dlq");
  assert.ok(after && after.id !== before.id);
  assert.deepEqual((await harness.engine.peek(after.id, { max: 10 })).map(textOf), ["a"]);
});

test("removing the consumer lets its delivery finish and leaves the rest in the queue", async () => {
  await using harness = await BrokerHarness.open();
  const queue = await harness.queue("events");
  await harness.push(queue, { max_wait_time_ms: 0, batch_size: 1, max_concurrency: 1 });
  let finish = (): void => undefined;
  harness.target.handler = async () => {
    await new Promise<void>((resolve) => (finish = resolve));
    return done();
  };
  await harness.send(queue, "a", "b");
  await harness.time.settle();
  const [consumer] = harness.controlPlane.view.consumersOf(queue.id);
  assert.ok(consumer);
  await harness.controlPlane.change("test", (view, context) =>
    removeConsumer(view, context, { queue: queue.id, consumer: consumer.id }),
  );
  finish();
  await harness.time.advance(10_000);
  assert.equal(harness.target.deliveries.length, 1);
  const { backlog, accounting } = await harness.engine.metrics(queue.id);
  assert.deepEqual([backlog.count, accounting.acked], [1, 1]);
});

test("a handler's failures are told by the loop until it succeeds", async () => {
  await using harness = await BrokerHarness.open();
  const queue = await harness.queue("events");
  await harness.push(queue, { max_wait_time_ms: 0, retry_delay: 5 });
  const outcomes = [threw(), done()];
  harness.target.handler = () => outcomes.shift() ?? done();
  await harness.send(queue, "a");
  await harness.time.settle();
  assert.match(harness.broker.loopOf(queue.id)?.lastFailure?.detail ?? "", /mail is down/);
  assert.equal(harness.broker.loopOf(queue.id)?.state().kind, "waiting");
  await harness.time.advance(5_000);
  assert.equal(harness.broker.loopOf(queue.id)?.lastFailure, undefined);
  assert.ok(harness.time.now() > epochMs(0));
});

/** A queue with a backlog and one delivery at a time, whose quick handler stops at its third batch until it is let go. */
async function aheadOfThirdBatch(harness: BrokerHarness): Promise<{ readonly queue: QueueRecord; letGo: () => void }> {
  const queue = await harness.queue("events");
  const third = Promise.withResolvers<void>();
  harness.target.handler = async () => {
    if (harness.target.deliveries.length === 3) await third.promise;
    return done();
  };
  await harness.send(queue, ...numbers(12));
  await harness.push(queue, { batch_size: 2, max_wait_time_ms: 0, max_concurrency: 1 });
  await harness.time.settle();
  assert.equal(harness.target.deliveries.length, 3);
  return { queue, letGo: () => third.resolve() };
}

async function setPaused(harness: BrokerHarness, { id }: QueueRecord, paused: boolean): Promise<void> {
  const settings = { deliveryDelaySeconds: 0, retentionSeconds: 345_600, paused };
  await harness.controlPlane.change("test", (view, context) => updateQueue(view, context, { id, settings }));
}

async function leased(harness: BrokerHarness, queue: QueueRecord): Promise<number> {
  return (await harness.engine.peek(queue.id, { max: 100 })).filter(({ state }) => state === "leased").length;
}

test("a quick handler has its next batches leased while it runs, and gets them in order and once", async () => {
  await using harness = await BrokerHarness.open();
  const { queue, letGo } = await aheadOfThirdBatch(harness);
  assert.ok((await leased(harness, queue)) > 2);
  letGo();
  await harness.time.settle();
  assert.deepEqual(
    harness.delivered().flat(),
    numbers(12).map((text) => `${text}#1`),
  );
  assert.equal(harness.target.mostRunning, 1);
});

test("what was leased ahead of a handler that turns slow goes back after a tenth of a second, uncounted", async () => {
  await using harness = await BrokerHarness.open();
  const { queue, letGo } = await aheadOfThirdBatch(harness);
  await harness.time.advance(101);
  assert.equal(await leased(harness, queue), 2);
  letGo();
  await harness.time.settle();
  assert.deepEqual(
    harness.delivered().flat().toSorted(),
    numbers(12)
      .map((text) => `${text}#1`)
      .toSorted(),
  );
});

test("a pause gives back what was leased ahead", async () => {
  await using harness = await BrokerHarness.open();
  const { queue, letGo } = await aheadOfThirdBatch(harness);
  await setPaused(harness, queue, true);
  await harness.time.settle();
  assert.equal(await leased(harness, queue), 2);
  letGo();
  await harness.time.settle();
  assert.equal(harness.target.deliveries.length, 3);
  assert.equal((await harness.engine.metrics(queue.id)).backlog.count, 6);
});
