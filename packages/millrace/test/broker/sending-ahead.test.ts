// Deliveries that are asked for while the send that fills them is still on its way to the disk.

import assert from "node:assert/strict";
import { test } from "node:test";
import { milliseconds } from "../../src/core/index.ts";
import type { LeaseRequest, StorageEngine } from "../../src/core/index.ts";
import { BrokerHarness, done } from "../support/broker-harness.ts";

/** A store whose sends, and whose leases that come after them, take until `store` is called; as one group, sends first. */
class SlowStore {
  readonly leases: LeaseRequest[] = [];
  isFailing = false;
  readonly #sends: (() => void)[] = [];
  readonly #leases: (() => void)[] = [];

  store(): void {
    for (const happen of [...this.#sends.splice(0), ...this.#leases.splice(0)]) happen();
  }

  readonly wrap = (engine: StorageEngine): StorageEngine => {
    const listeners = new Set<Parameters<StorageEngine["onSending"]>[0]>();
    const own: Partial<StorageEngine> = {
      send: async (queue, messages, options) => {
        for (const listener of listeners) listener(queue, messages.length);
        await new Promise<void>((resolve) => this.#sends.push(resolve));
        if (this.isFailing) throw new Error("the disk is full");
        return await engine.send(queue, messages, options);
      },
      lease: async (queue, request) => {
        this.leases.push(request);
        if (request.afterSends === true) await new Promise<void>((resolve) => this.#leases.push(resolve));
        return await engine.lease(queue, request);
      },
      onSending: (listener) => {
        listeners.add(listener);
        return () => void listeners.delete(listener);
      },
    };
    return new Proxy(engine, {
      get(target, key) {
        const value: unknown = Reflect.get(own, key) ?? Reflect.get(target, key, target);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
  };
}

async function open(): Promise<{ readonly slow: SlowStore; readonly harness: BrokerHarness }> {
  const slow = new SlowStore();
  const harness = await BrokerHarness.open(slow.wrap);
  return { slow, harness };
}

test("an idle consumer without a window asks for a message while it is being stored", async () => {
  const { slow, harness } = await open();
  await using _ = harness;
  const queue = await harness.queue("events");
  await harness.push(queue, { batch_size: 10, max_wait_time_ms: 0 });
  await harness.time.settle();
  slow.leases.length = 0;
  const sent = harness.send(queue, "a");
  await harness.time.settle();
  assert.deepEqual(
    slow.leases.map(({ afterSends }) => afterSends),
    [true],
  );
  assert.equal(harness.target.deliveries.length, 0);
  slow.store();
  await sent;
  await harness.time.settle();
  assert.deepEqual(harness.delivered(), [["a#1"]]);
});

test("with a window it waits for the batch to fill, and asks for the whole", async () => {
  const { slow, harness } = await open();
  await using _ = harness;
  const queue = await harness.queue("events");
  await harness.push(queue, { batch_size: 2, max_wait_time_ms: 5_000 });
  await harness.time.settle();
  slow.leases.length = 0;
  for (const [text, asked] of [
    ["a", 0],
    ["b", 1],
  ] as const) {
    const sent = harness.send(queue, text);
    await harness.time.settle();
    assert.equal(slow.leases.length, asked);
    slow.store();
    await sent;
  }
  await harness.time.settle();
  assert.deepEqual(harness.delivered(), [["a#1", "b#1"]]);
});

test("a send that fails costs a lease that finds nothing, and the next is delivered all the same", async () => {
  const { slow, harness } = await open();
  await using _ = harness;
  const queue = await harness.queue("events");
  await harness.push(queue, { batch_size: 10, max_wait_time_ms: 0 });
  await harness.time.settle();
  slow.isFailing = true;
  const failing = assert.rejects(harness.send(queue, "lost"), /disk is full/);
  await harness.time.settle();
  slow.store();
  await failing;
  slow.isFailing = false;
  const sent = harness.send(queue, "kept");
  await harness.time.settle();
  slow.store();
  await sent;
  await harness.time.settle();
  assert.deepEqual(harness.delivered(), [["kept#1"]]);
});

test("a consumer without a free place asks for nothing", async () => {
  const { slow, harness } = await open();
  await using _ = harness;
  const queue = await harness.queue("events");
  await harness.push(queue, { batch_size: 1, max_wait_time_ms: 0, max_concurrency: 1 });
  const handler = Promise.withResolvers<void>();
  harness.target.handler = async () => {
    await handler.promise;
    return done();
  };
  for (const text of ["first", "second"]) {
    const sent = harness.send(queue, text);
    await harness.time.settle();
    slow.store();
    await sent;
    await harness.time.settle();
    if (text === "first") slow.leases.length = 0;
  }
  assert.deepEqual(slow.leases, []);
  handler.resolve();
  await harness.time.settle();
  assert.deepEqual(harness.delivered(), [["first#1"], ["second#1"]]);
});

test("a long poll that waits asks for a message while it is being stored, and only one of those that wait does", async () => {
  const { slow, harness } = await open();
  await using _ = harness;
  const queue = await harness.queue("events");
  await harness.pull(queue);
  const wait = milliseconds(10_000);
  const pulls = [1, 2].map(
    async () => await harness.broker.pulls.pull(queue.id, { batchSize: 1, visibility: undefined, wait }),
  );
  await harness.time.settle();
  slow.store();
  await harness.time.settle();
  slow.leases.length = 0;
  const sent = harness.send(queue, "a");
  await harness.time.settle();
  assert.equal(slow.leases.length, 1);
  slow.store();
  await sent;
  const first = await Promise.race(pulls);
  assert.equal(first.messages.length, 1);
  harness.broker.pulls.stop();
  slow.store();
  await harness.time.settle();
  slow.store();
  await Promise.all(pulls);
});
