// What becomes of decisions while the store takes none.

import assert from "node:assert/strict";
import { test } from "node:test";
import { MillraceError } from "../../src/core/index.ts";
import type { StorageEngine } from "../../src/core/index.ts";
import { BrokerHarness, done } from "../support/broker-harness.ts";

/** The engine takes no settlement until `heal`. */
function breakSettlements(engine: StorageEngine): { readonly heal: () => void; tries: number } {
  const settle = engine.settle.bind(engine);
  const broken = { tries: 0, heal: () => void (engine.settle = settle) };
  engine.settle = async () => {
    broken.tries += 1;
    return await Promise.reject(new MillraceError("UNAVAILABLE", "the disk is away"));
  };
  return broken;
}

const told = (harness: BrokerHarness): number =>
  harness.log.events.filter(({ event }) => event === "settle.retried").length;

test("a handler's acknowledgement is stored once the disk is back, however long it was away", async () => {
  await using harness = await BrokerHarness.open();
  const queue = await harness.queue("events");
  await harness.push(queue, { max_wait_time_ms: 0 });
  const broken = breakSettlements(harness.engine);
  await harness.send(queue, "a");
  await harness.time.advance(600_000);
  assert.equal(harness.target.deliveries.length, 1);
  assert.equal((await harness.engine.metrics(queue.id)).backlog.count, 1);

  broken.heal();
  await harness.time.advance(5_000);
  assert.equal((await harness.engine.metrics(queue.id)).backlog.count, 0);
  await harness.time.advance(1_200_000);
  assert.equal(harness.target.deliveries.length, 1, "it was not delivered again");
});

test("a retry that could not be stored for a while is delivered as soon as it is", async () => {
  await using harness = await BrokerHarness.open();
  const queue = await harness.queue("events");
  await harness.push(queue, { max_wait_time_ms: 0 });
  harness.target.handler = ({ messages: [first] }) =>
    done(first?.attempts === 1 ? { retryBatch: { retry: true, delay: undefined } } : {});
  const broken = breakSettlements(harness.engine);
  await harness.send(queue, "a");
  await harness.time.advance(120_000);
  broken.heal();
  await harness.time.advance(5_000);
  assert.deepEqual(harness.delivered(), [["a#1"], ["a#2"]]);
});

test("a disk that stays away is told of at once, then at growing distances", async () => {
  await using harness = await BrokerHarness.open();
  const queue = await harness.queue("events");
  await harness.push(queue, { max_wait_time_ms: 0, batch_size: 1, max_concurrency: 5 });
  const broken = breakSettlements(harness.engine);
  await harness.send(queue, "a", "b", "c", "d", "e");
  await harness.time.advance(1_000);
  assert.equal(told(harness), 1, "five batches wait, and one of them says so");
  await harness.time.advance(600_000);
  assert.ok(told(harness) >= 5 && told(harness) <= 7, `${told(harness)} lines in ten minutes`);
  broken.heal();
});

test("handlers stop getting batches when too many of their decisions wait for the disk", async () => {
  await using harness = await BrokerHarness.open();
  const queue = await harness.queue("events");
  await harness.push(queue, { max_wait_time_ms: 0, batch_size: 1 });
  const broken = breakSettlements(harness.engine);
  await harness.send(queue, ...Array.from({ length: 100 }, String));
  await harness.time.advance(300_000);
  assert.equal(harness.target.deliveries.length, 64);
  broken.heal();
  await harness.time.advance(10_000);
  assert.equal((await harness.engine.metrics(queue.id)).backlog.count, 0);
  assert.equal(harness.target.deliveries.length, 100);
});

test("a server that stops waits for the disk until it is told to give up", async () => {
  await using harness = await BrokerHarness.open();
  const queue = await harness.queue("events");
  await harness.push(queue, { max_wait_time_ms: 0 });
  const broken = breakSettlements(harness.engine);
  await harness.send(queue, "a");
  await harness.time.advance(60_000);
  const giveUp = new AbortController();
  let stopped = false;
  const stopping = harness.broker.stop(giveUp.signal).then(() => (stopped = true));
  await harness.time.advance(60_000);
  assert.equal(stopped, false);
  const before = broken.tries;
  giveUp.abort();
  await harness.time.settle();
  assert.equal(stopped, true, "at once: it has waited long enough");
  assert.equal(broken.tries, before + 1, "after a last try");
  await stopping;
  broken.heal();
  await harness.startBroker();
  await harness.time.settle();
  assert.deepEqual(harness.delivered(), [["a#1"], ["a#1"]], "the next server delivers it, uncounted");
});

test("a pull consumer's acknowledgement is refused after a while, so that it can ask again", async () => {
  await using harness = await BrokerHarness.open();
  const queue = await harness.queue("events");
  await harness.pull(queue);
  await harness.send(queue, "a");
  const pulled = await harness.broker.pulls.pull(queue.id, { batchSize: 1, visibility: undefined });
  const broken = breakSettlements(harness.engine);
  const acks = pulled.messages.map(({ lease }) => lease);
  const refused = assert.rejects(
    async () => await harness.broker.pulls.ack(queue.id, { acks, retries: [] }),
    /the disk is away/,
  );
  await harness.time.advance(16_000);
  await refused;
  broken.heal();
  assert.equal((await harness.broker.pulls.ack(queue.id, { acks, retries: [] })).acked, 1);
});
