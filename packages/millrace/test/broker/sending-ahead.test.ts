// Deliveries that are asked for while the send that fills them is still on its way to the disk.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { RawFields } from "../../src/contract/index.ts";
import { milliseconds } from "../../src/core/index.ts";
import type { LeaseRequest, QueueRecord, StorageEngine } from "../../src/core/index.ts";
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

/** A queue over a slow store. */
class Sending implements AsyncDisposable {
  readonly slow: SlowStore;
  readonly harness: BrokerHarness;
  readonly queue: QueueRecord;

  private constructor(slow: SlowStore, harness: BrokerHarness, queue: QueueRecord) {
    this.slow = slow;
    this.harness = harness;
    this.queue = queue;
  }

  static async open(): Promise<Sending> {
    const slow = new SlowStore();
    const harness = await BrokerHarness.open(slow.wrap);
    return new Sending(slow, harness, await harness.queue("events"));
  }

  /** With an idle Worker as its consumer. */
  static async openWithWorker(settings: RawFields): Promise<Sending> {
    const sending = await Sending.open();
    await sending.harness.push(sending.queue, settings);
    await sending.harness.time.settle();
    sending.slow.leases.length = 0;
    return sending;
  }

  /** Begins a send and answers it, once all that it leads to before it is stored has happened. */
  async begin(text: string): Promise<{ readonly sent: Promise<unknown> }> {
    const sent = this.harness.send(this.queue, text);
    sent.catch(() => undefined); // awaited by whoever asked for it
    await this.harness.time.settle();
    return { sent };
  }

  /** All that is under way. */
  async store(): Promise<void> {
    this.slow.store();
    await this.harness.time.settle();
  }

  async send(text: string): Promise<void> {
    const { sent } = await this.begin(text);
    await this.store();
    await sent;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.harness[Symbol.asyncDispose]();
  }
}

test("an idle consumer without a window asks for a message while it is being stored", async () => {
  await using sending = await Sending.openWithWorker({ batch_size: 10, max_wait_time_ms: 0 });
  const { slow, harness } = sending;
  const { sent } = await sending.begin("a");
  assert.deepEqual(
    slow.leases.map(({ afterSends }) => afterSends),
    [true],
  );
  assert.equal(harness.target.deliveries.length, 0);
  await sending.store();
  await sent;
  assert.deepEqual(harness.delivered(), [["a#1"]]);
});

test("with a window it waits for the batch to fill, and asks for the whole", async () => {
  await using sending = await Sending.openWithWorker({ batch_size: 2, max_wait_time_ms: 5_000 });
  for (const [text, asked] of [
    ["a", 0],
    ["b", 1],
  ] as const) {
    const { sent } = await sending.begin(text);
    assert.equal(sending.slow.leases.length, asked);
    await sending.store();
    await sent;
  }
  assert.deepEqual(sending.harness.delivered(), [["a#1", "b#1"]]);
});

test("a send that fails costs a lease that finds nothing, and the next is delivered all the same", async () => {
  await using sending = await Sending.openWithWorker({ batch_size: 10, max_wait_time_ms: 0 });
  sending.slow.isFailing = true;
  await assert.rejects(sending.send("lost"), /disk is full/);
  sending.slow.isFailing = false;
  await sending.send("kept");
  assert.deepEqual(sending.harness.delivered(), [["kept#1"]]);
});

test("a consumer without a free place asks for nothing", async () => {
  await using sending = await Sending.openWithWorker({ batch_size: 1, max_wait_time_ms: 0, max_concurrency: 1 });
  const { slow, harness } = sending;
  const handler = Promise.withResolvers<void>();
  harness.target.handler = async () => {
    await handler.promise;
    return done();
  };
  await sending.send("first");
  slow.leases.length = 0;
  await sending.send("second");
  assert.deepEqual(slow.leases, []);
  handler.resolve();
  await harness.time.settle();
  assert.deepEqual(harness.delivered(), [["first#1"], ["second#1"]]);
});

test("a long poll that waits asks for a message while it is being stored, and only one of those that wait does", async () => {
  await using sending = await Sending.open();
  const { slow, harness, queue } = sending;
  await harness.pull(queue);
  const wait = milliseconds(10_000);
  const pulls = [1, 2].map(
    async () => await harness.broker.pulls.pull(queue.id, { batchSize: 1, visibility: undefined, wait }),
  );
  await harness.time.settle();
  await sending.store();
  slow.leases.length = 0;
  const { sent } = await sending.begin("a");
  assert.equal(slow.leases.length, 1);
  await sending.store();
  await sent;
  const first = await Promise.race(pulls);
  assert.equal(first.messages.length, 1);
  harness.broker.pulls.stop();
  await sending.store();
  await sending.store();
  await Promise.all(pulls);
});
