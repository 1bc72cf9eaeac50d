// Against the real REST API over the real broker, with the memory engine and simulated time behind it.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { accountId, adminToken, ApiHarness } from "../../millrace/test/api/api-harness.ts";
import { consume, createClient } from "../src/index.ts";
import type {
  Client,
  ClientOptions,
  ConsumeOptions,
  Consumer,
  ConsumerEvent,
  Queue,
  QueueHandler,
} from "../src/index.ts";
import { soon, Watched } from "./support/deadline.ts";
import { TestTime } from "./support/test-time.ts";

class Running implements AsyncDisposable {
  readonly harness: ApiHarness;
  readonly address: string;
  readonly events = new Watched<ConsumerEvent>();
  readonly #consumers: Consumer[] = [];

  private constructor(harness: ApiHarness, address: string) {
    this.harness = harness;
    this.address = address;
  }

  static async start(): Promise<Running> {
    const harness = await ApiHarness.open();
    return new Running(harness, await harness.api.listen({ host: "127.0.0.1", port: 0 }));
  }

  client(options: Partial<ClientOptions> = {}): Client {
    const time = new TestTime({ instantBelowMs: 30_000 });
    return createClient({ baseUrl: this.address, accountId, token: adminToken, time, ...options });
  }

  /** Creates a queue with a pull consumer; answers its path in the API. */
  async pullQueue(name: string, settings: object = {}, deadLetterQueue?: string): Promise<string> {
    const path = await this.harness.queue(name);
    const consumer = {
      type: "http_pull",
      settings,
      ...(deadLetterQueue !== undefined && { dead_letter_queue: deadLetterQueue }),
    };
    await this.harness.must("POST", `${path}/consumers`, consumer);
    return path;
  }

  consume<Body>(queue: Queue<Body>, handler: QueueHandler<Body>, options: ConsumeOptions = {}): Consumer {
    const consumer = consume(queue, handler, {
      onEvent: (event) => {
        this.events.push(event);
      },
      ...options,
    });
    this.#consumers.push(consumer);
    return consumer;
  }

  async peek(
    path: string,
  ): Promise<readonly { readonly body: string; readonly metadata: object; readonly state: string }[]> {
    const { messages } = await this.harness.must<{ messages: { body: string; metadata: object; state: string }[] }>(
      "POST",
      `${path}/messages/peek`,
      { batch_size: 100 },
    );
    return messages;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await soon(
      Promise.allSettled(this.#consumers.map(async (consumer) => await consumer.stop())),
      "the end of consumers",
    );
    // fetch may have opened connections that it never used; a closing server would wait for their first request.
    this.harness.api.server.server.closeAllConnections();
    await this.harness[Symbol.asyncDispose]();
  }
}

test("what is sent is stored as it was sent", async () => {
  await using running = await Running.start();
  const path = await running.harness.queue("orders");
  const queue = running.client().queue("orders");
  const response = await queue.send({ name: "Ada", note: "Grüße 😀" });
  assert.equal(response.metadata.metrics.backlogCount, 1);
  await queue.send("as text", { contentType: "text", delaySeconds: 60 });
  await queue.sendBatch([{ body: null }, { body: 7, delaySeconds: 0 }], { delaySeconds: 60 });
  const stored = await running.peek(path);
  const shown = stored.map(({ body, metadata, state }) => {
    const type = (metadata as { "CF-Content-Type": string })["CF-Content-Type"];
    return [type, type === "json" ? JSON.parse(Buffer.from(body, "base64").toString()) : body, state];
  });
  assert.deepEqual(shown, [
    ["json", { name: "Ada", note: "Grüße 😀" }, "ready"],
    ["text", "as text", "delayed"],
    ["json", null, "delayed"],
    ["json", 7, "ready"],
  ]);
  const metrics = await queue.metrics();
  assert.equal(metrics.backlogCount, 4);
  assert.equal(metrics.oldestMessageTimestamp?.getTime(), running.harness.time.now());
});

test("a backlog is drained in fewer requests than batches, each message once", async () => {
  await using running = await Running.start();
  const path = await running.pullQueue("orders");
  const asked: string[] = [];
  const queue = running
    .client({
      fetch: async (url, init) => {
        asked.push(url);
        return await fetch(url, init);
      },
    })
    .queue<number>("orders");
  const numbers = Array.from({ length: 400 }, (_, number) => number);
  for (let at = 0; at < 400; at += 100) await queue.sendBatch(numbers.slice(at, at + 100).map((body) => ({ body })));
  const handled = new Watched<number>();
  const before = asked.length;
  const consumer = running.consume(
    queue,
    ({ messages }) => {
      for (const { body } of messages) handled.push(body);
    },
    { batchSize: 10, concurrency: 8 },
  );
  await handled.atLeast(400, "messages");
  await consumer.stop();
  assert.deepEqual(
    handled.items.toSorted((a, b) => a - b),
    numbers,
  );
  assert.deepEqual(running.events.items, []);
  assert.ok(asked.length - before < 40, `${asked.length - before} requests for 40 batches`);
  assert.equal((await queue.metrics()).backlogCount, 0);
  assert.deepEqual(await running.peek(path), []);
});

test("a message that only the server refuses does not take its neighbours with it", async () => {
  await using running = await Running.start();
  const path = await running.harness.queue("orders");
  const queue = running.client().queue("orders");
  let nested: unknown = 1;
  for (let level = 0; level < 1_500; level += 1) nested = [nested];
  const outcomes = await Promise.allSettled([1, 2, nested, 3, 4].map((body) => queue.send(body)));
  assert.deepEqual(
    outcomes.map(({ status }) => status),
    ["fulfilled", "fulfilled", "rejected", "fulfilled", "fulfilled"],
  );
  assert.equal((await running.peek(path)).length, 4);
});

test("thousands of concurrent sends arrive once each", async () => {
  await using running = await Running.start();
  await running.pullQueue("orders");
  const queue = running.client().queue<number>("orders");
  const sent = Array.from({ length: 2_000 }, (_, index) => index);
  await Promise.all(sent.map((index) => queue.send(index)));
  const received = new Watched<number>();
  running.consume(
    queue,
    (batch) => {
      for (const { body } of batch.messages) received.push(body);
    },
    { batchSize: 100, concurrency: 4 },
  );
  await received.atLeast(2_000, "messages");
  assert.deepEqual(
    received.items.toSorted((a, b) => a - b),
    sent,
  );
});

test("a handler that fails gets its messages again, and then the dead letter queue does", async () => {
  await using running = await Running.start();
  await running.pullQueue("orders", { max_retries: 2 }, "orders-dlq");
  const queue = running.client().queue<string>("orders");
  const deliveries = new Watched<string>();
  running.consume(queue, (batch) => {
    for (const message of batch.messages) {
      deliveries.push(`${message.body}#${message.attempts}`);
      if (message.body === "good") message.ack();
    }
    throw new Error("mail is down");
  });
  await queue.sendBatch([{ body: "good" }, { body: "bad" }]);
  await deliveries.until((items) => items.includes("bad#3"), "the third delivery");
  assert.deepEqual(deliveries.items, ["good#1", "bad#1", "bad#2", "bad#3"]);

  const [dlq] = await running.harness.must<{ queue_id: string }[]>("GET", "/queues?name=orders-dlq");
  await running.harness.must("POST", `/queues/${dlq?.queue_id}/consumers`, { type: "http_pull", settings: {} });
  const dead = new Watched<string>();
  running.consume(running.client().queue<string>("orders-dlq"), ({ messages }) => {
    for (const { body } of messages) dead.push(body);
  });
  assert.deepEqual(await dead.atLeast(1, "dead letters"), ["bad"]);
  assert.equal((await queue.metrics()).backlogCount, 0);
});

test("a retry with a delay comes back when the delay has passed", async () => {
  await using running = await Running.start();
  await running.pullQueue("orders", { retry_delay: 3_600 });
  const queue = running.client().queue("orders");
  const attempts = new Watched<number>();
  const consumer = running.consume(queue, ({ messages: [message] }) => {
    attempts.push(message?.attempts ?? 0);
    if (message?.attempts === 1) message.retry({ delaySeconds: 60 });
  });
  await queue.send("again, please");
  await attempts.atLeast(1, "deliveries");
  await consumer.stop(); // settled: now it waits
  const later = running.consume(queue, ({ messages: [message] }) => {
    attempts.push(message?.attempts ?? 0);
  });
  await running.harness.time.advance(60_000);
  assert.deepEqual(await attempts.atLeast(2, "deliveries"), [1, 2]);
  await later.stop();
});

test("an ack that comes after the lease had ended is remarked on", async () => {
  await using running = await Running.start();
  await running.pullQueue("orders");
  const queue = running.client().queue("orders");
  running.consume(
    queue,
    async () => {
      await running.harness.time.advance(31_000);
    },
    { visibilityTimeoutMs: 30_000 },
  );
  await queue.send("slow");
  const [event] = await running.events.atLeast(1, "events");
  assert.equal(event?.kind, "settle-warning");
});

test("a paused queue is waited for", async () => {
  await using running = await Running.start();
  const path = await running.pullQueue("orders");
  const queue = running.client().queue("orders");
  await running.harness.must("PATCH", path, { settings: { delivery_paused: true } });
  await queue.send("patience");
  const bodies = new Watched<unknown>();
  running.consume(queue, ({ messages }) => {
    for (const { body } of messages) bodies.push(body);
  });
  const [event] = await running.events.atLeast(1, "events");
  assert.ok(event?.kind === "pull-failed");
  assert.equal(event.error.code, "QUEUE_PAUSED");
  await running.harness.must("PATCH", path, { settings: { delivery_paused: false } });
  assert.deepEqual(await bodies.atLeast(1, "messages"), ["patience"]);
});

test("a queue without a pull consumer, a wrong token and a missing queue are told", async () => {
  await using running = await Running.start();
  await running.harness.queue("orders");
  const queue = running.client().queue("orders");
  await assert.rejects(running.consume(queue, () => undefined).finished, {
    code: "REQUEST_REFUSED",
    message: /http_pull/,
  });
  const stranger = running.client({ token: "mr_stranger" });
  await assert.rejects(stranger.queue("orders").send(1), { code: "UNAUTHORIZED", retryable: false });
  await assert.rejects(running.client().queue("invoices").send(1), { code: "QUEUE_NOT_FOUND" });
  await assert.rejects(running.client().queue("d".repeat(32)).send(1), { code: "QUEUE_NOT_FOUND", status: 404 });
});

test("the server holds a pull until a message comes", async (t: TestContext) => {
  await using running = await Running.start();
  const path = await running.pullQueue("orders");
  const { api, time } = running.harness;
  const held = api.server.inject({
    method: "POST",
    url: `/client/v4/accounts/${accountId}${path}/messages/pull`,
    headers: { authorization: `Bearer ${adminToken}`, "millrace-wait-seconds": "20" },
    payload: "{}",
  });
  let isAnswered = false;
  const answered = held.then(() => {
    isAnswered = true;
    return isAnswered;
  });
  await time.settle();
  if (isAnswered) {
    t.skip("this server does not know the header Millrace-Wait-Seconds");
    return;
  }
  await time.advance(20_000);
  await soon(answered, "the answer to the held pull");
  const bodies = new Watched<unknown>();
  const clientTime = new TestTime();
  const queue = running.client({ time: clientTime }).queue("orders");
  running.consume(queue, ({ messages }) => {
    for (const { body } of messages) bodies.push(body);
  });
  await clientTime.asked.until((asked) => asked.includes(60_000), "the pull");
  await queue.send("at last");
  assert.deepEqual(await bodies.atLeast(1, "messages"), ["at last"]);
  assert.ok(clientTime.asked.items.every((ms) => ms >= 30_000)); // request timeouts, but no pause
});

test("the server extends leases", async (t: TestContext) => {
  await using running = await Running.start();
  await running.pullQueue("orders");
  const clientTime = new TestTime();
  const queue = running.client({ time: clientTime }).queue("orders");
  await queue.send("slow");
  const { resolve, promise } = Promise.withResolvers<void>();
  const deliveries = new Watched<number>();
  running.consume(
    queue,
    async ({ messages }) => {
      for (const { attempts } of messages) deliveries.push(attempts);
      await promise;
    },
    { extendLeases: true, visibilityTimeoutMs: 30_000 },
  );
  await deliveries.atLeast(1, "deliveries");
  for (let round = 1; round <= 4; round += 1) {
    await running.harness.time.advance(10_000);
    clientTime.fire(10_000);
    const timers = (): number => clientTime.asked.items.filter((ms) => ms === 10_000).length;
    await Promise.race([
      clientTime.asked.until(() => timers() > round, "the next extension"),
      running.events.atLeast(1, "events"),
    ]);
    if (running.events.items[0]?.kind === "lease-extension-failed") {
      t.skip("this server does not know the endpoint for leases");
      resolve();
      return;
    }
  }
  resolve();
  await soon(
    (async () => {
      while ((await queue.metrics()).backlogCount > 0) await running.harness.time.settle();
    })(),
    "the acknowledgement",
  );
  assert.deepEqual(deliveries.items, [1]); // 40 s in the handler, under a visibility timeout of 30
  assert.deepEqual(running.events.items, []);
});
