// Consuming: outcomes of handlers, how pulls are asked for, and how a consumer ends.

import assert from "node:assert/strict";
import { test } from "node:test";
import { consume, createClient, QueueError } from "../src/index.ts";
import type {
  ClientOptions,
  ConsumeOptions,
  Consumer,
  ConsumerEvent,
  MessageBatch,
  QueueHandler,
} from "../src/index.ts";
import { deferred, soon, Watched } from "./support/deadline.ts";
import { ok, pulled, queueId, refusal, RestServer } from "./support/rest-server.ts";
import type { SeenRequest } from "./support/rest-server.ts";
import { TestTime } from "./support/test-time.ts";

interface Running {
  readonly server: RestServer;
  readonly consumer: Consumer;
  readonly events: Watched<ConsumerEvent>;
}

/** Runs a consumer of `orders` over a server for as long as the test body takes. */
async function consuming(
  handler: QueueHandler,
  body: (running: Running) => Promise<void>,
  options: ConsumeOptions & {
    readonly client?: Partial<ClientOptions>;
    readonly prepare?: (server: RestServer) => void;
  } = {},
): Promise<void> {
  await using server = await RestServer.start();
  options.prepare?.(server);
  const events = new Watched<ConsumerEvent>();
  const queue = createClient({ ...server.options, ...options.client }).queue("orders");
  const consumer = consume(queue, handler, {
    onEvent: (event) => {
      events.push(event);
    },
    ...options,
  });
  await body({ server, consumer, events });
  await soon(Promise.allSettled([consumer.stop()]), "the end of the consumer");
}

/** What became of each message, by its id. */
async function verdicts({ server }: Running, count: number): Promise<Record<string, string>> {
  const settled = await server.settled.atLeast(count, "settled messages");
  return Object.fromEntries(settled.map(({ lease, verdict }) => [lease.replace("lease-", ""), verdict]));
}

const pulls = (server: RestServer): readonly SeenRequest[] => server.to("/pull");

test("a handler that returns acknowledges every message", async () => {
  const batches: MessageBatch[] = [];
  await consuming(
    (batch) => void batches.push(batch),
    async (running) => {
      running.server.offer(pulled("1", { n: 1 }, { attempts: 2 }), pulled("2"));
      assert.deepEqual(await verdicts(running, 2), { 1: "ack", 2: "ack" });
    },
  );
  const [batch] = batches;
  assert.equal(batch?.queue, "orders");
  assert.deepEqual(batch.metadata.metrics, {
    backlogCount: 0,
    backlogBytes: 7,
    oldestMessageTimestamp: new Date(1_800_000_000_000),
  });
  const [message] = batch.messages;
  assert.deepEqual(
    [message?.id, message?.timestamp, message?.attempts, message?.body, message?.contentType],
    ["1", new Date(1_800_000_000_000), 2, { n: 1 }, "json"],
  );
});

for (const [how, handler] of [
  [
    "throws",
    () => {
      throw new Error("mail is down");
    },
  ],
  ["rejects", async () => await Promise.reject(new Error("mail is down"))],
] as const) {
  test(`a handler that ${how} has its messages delivered again, except those it acknowledged`, async () => {
    await consuming(
      (batch) => {
        batch.messages[0]?.ack();
        batch.messages[1]?.retry({ delaySeconds: 30 });
        return handler();
      },
      async (running) => {
        running.server.offer(pulled("1"), pulled("2"), pulled("3"));
        assert.deepEqual(await verdicts(running, 3), { 1: "ack", 2: "retry after 30", 3: "retry" });
        const [event] = running.events.items;
        assert.equal(event?.kind, "handler-failed");
        assert.deepEqual([event.queue, event.messageIds], ["orders", ["1", "2", "3"]]);
        assert.match(String(event.error), /mail is down/);
      },
    );
  });
}

test("retryAll and ackAll decide for those without a decision of their own", async () => {
  await consuming(
    (batch) => {
      if (batch.messages[0]?.id === "1") {
        batch.messages[0].ack();
        batch.retryAll({ delaySeconds: 5 });
      } else {
        batch.messages[0]?.retry();
        batch.ackAll();
        throw new Error("after the decision");
      }
    },
    async (running) => {
      running.server.offer(pulled("1"), pulled("2"), pulled("3"), pulled("4"));
      assert.deepEqual(await verdicts(running, 4), { 1: "ack", 2: "retry after 5", 3: "retry", 4: "ack" });
    },
    { batchSize: 2 },
  );
});

test("a decision that changes nothing is told, and so is one that comes too late", async () => {
  let kept: MessageBatch | undefined;
  await consuming(
    (batch) => {
      kept = batch;
      batch.messages[0]?.retry();
      batch.messages[0]?.ack();
    },
    async (running) => {
      running.server.offer(pulled("1"), pulled("2"));
      assert.deepEqual(await verdicts(running, 2), { 1: "retry", 2: "ack" });
      kept?.messages[1]?.retry();
      kept?.retryAll();
      assert.deepEqual(running.events.items, [
        { kind: "decision-ignored", queue: "orders", reason: "ack() after retry() is ignored", messageId: "1" },
        {
          kind: "decision-ignored",
          queue: "orders",
          reason: "retry() after the handler has ended is ignored",
          messageId: "2",
        },
        { kind: "decision-ignored", queue: "orders", reason: "retryAll() after the handler has ended is ignored" },
      ]);
      assert.equal(running.server.settled.items.length, 2);
    },
  );
});

test("a retry delay outside the limits fails the handler there and then", async () => {
  await consuming(
    (batch) => {
      batch.retryAll({ delaySeconds: 86_401 });
    },
    async (running) => {
      running.server.offer(pulled("1"));
      assert.deepEqual(await verdicts(running, 1), { 1: "retry" });
      const [event] = running.events.items;
      assert.ok(event?.kind === "handler-failed" && event.error instanceof QueueError);
      assert.equal(event.error.code, "DELAY_INVALID");
    },
  );
});

test("a body that cannot be read fails only the handler that reads it", async () => {
  await consuming(
    (batch) => {
      for (const message of batch.messages) {
        try {
          assert.deepEqual(message.body, { id: message.id });
          message.ack();
        } catch {
          message.retry({ delaySeconds: 60 });
        }
      }
    },
    async (running) => {
      running.server.offer(pulled("1"), pulled("2", undefined, { body: "no base64!" }), pulled("3"));
      assert.deepEqual(await verdicts(running, 3), { 1: "ack", 2: "retry after 60", 3: "ack" });
    },
  );
});

test("pulls ask to be held until a message comes, with the batch size and visibility timeout", async () => {
  await consuming(
    () => undefined,
    async ({ server }) => {
      await server.requests.until(() => pulls(server).length === 1, "a pull");
      assert.equal(pulls(server)[0]?.headers["millrace-wait-seconds"], "20");
      assert.deepEqual(pulls(server)[0]?.body, { batch_size: 25, visibility_timeout_ms: 60_000 });
      server.offer(pulled("1"));
      await server.settled.atLeast(1, "settled messages");
    },
    { waitMs: 20_000, batchSize: 25, visibilityTimeoutMs: 60_000 },
  );
});

test("without a visibility timeout the consumer's own counts", async () => {
  await consuming(
    () => undefined,
    async ({ server }) => {
      await server.requests.until(() => pulls(server).length === 1, "a pull");
      assert.deepEqual(pulls(server)[0]?.body, { batch_size: 10 });
    },
  );
});

test("a server that does not hold pulls is asked less and less often, and at once when something came", async () => {
  const time = new TestTime({ instantBelowMs: 30_000 });
  const pauses = (): number[] => time.asked.items.filter((ms) => ms < 30_000);
  await consuming(
    () => undefined,
    async ({ server }) => {
      await time.asked.until(() => pauses().length >= 7, "pauses");
      assert.deepEqual(pauses().slice(0, 7), [50, 100, 200, 400, 800, 1_000, 1_000]);
      const before = time.asked.items.length;
      server.offer(pulled("1"));
      await server.settled.atLeast(1, "settled messages");
      await time.asked.until((asked) => asked.slice(before).includes(50), "a short pause again");
    },
    {
      client: { time },
      prepare: (server) => {
        server.canHold = false;
      },
    },
  );
});

test("an idle consumer has one pull open, whatever its concurrency", async () => {
  await consuming(
    () => undefined,
    async ({ server }) => {
      server.offer(...Array.from({ length: 30 }, (_, index) => pulled(String(index))));
      await server.settled.atLeast(30, "settled messages");
      const held = (): number =>
        pulls(server).filter(({ gone, headers }) => !gone.aborted && headers["millrace-wait-seconds"] === "30").length;
      await server.requests.until(() => held() > 0, "a held pull");
      assert.equal(held(), 1); // the others were answered at once
    },
    { concurrency: 8 },
  );
});

test("as many handlers run as concurrency says, while there are messages", async () => {
  const running = new Watched<string>();
  const release = deferred();
  let most = 0;
  let now = 0;
  await consuming(
    async (batch) => {
      now += 1;
      most = Math.max(most, now);
      running.push(batch.messages[0]?.id ?? "");
      await release.promise;
      now -= 1;
    },
    async ({ server }) => {
      server.offer(...Array.from({ length: 12 }, (_, index) => pulled(String(index))));
      await running.atLeast(3, "handlers");
      release.resolve();
      await server.settled.atLeast(12, "settled messages");
      assert.equal(most, 3);
    },
    { concurrency: 3, batchSize: 2 },
  );
});

test("settlements of batches that end while one is under way travel together", async () => {
  const handled = new Watched<string>();
  const release = deferred();
  let isFirst = true;
  await consuming(
    (batch) => {
      handled.push(batch.messages[0]?.id ?? "");
    },
    async ({ server }) => {
      server.offer(...["1", "2", "3", "4"].map((id) => pulled(id)));
      await handled.atLeast(4, "handled messages");
      await server.requests.until(() => server.to("/ack").length === 1, "the first settlement");
      release.resolve();
      await server.settled.atLeast(4, "settled messages");
      assert.deepEqual(
        server.to("/ack").map(({ body }) => (body as { acks: object[] }).acks.length),
        [1, 3],
      );
    },
    {
      concurrency: 4,
      batchSize: 1,
      prepare: (server) => {
        server.script = async ({ path }) => {
          if (path.endsWith("/ack") && isFirst) {
            isFirst = false;
            await release.promise;
          }
          return undefined;
        };
      },
    },
  );
});

test("no more batches than places wait to be settled", async () => {
  const handled = new Watched<string>();
  const release = deferred();
  await consuming(
    (batch) => {
      handled.push(batch.messages[0]?.id ?? "");
    },
    async ({ server }) => {
      server.offer(...["1", "2", "3", "4"].map((id) => pulled(id)));
      await handled.atLeast(2, "handled messages");
      await server.requests.until(() => server.to("/ack").length === 1, "the first settlement");
      assert.equal(pulls(server).length, 2); // the second batch waits behind the settlement of the first, and a third is not taken
      release.resolve();
      await server.settled.atLeast(4, "settled messages");
    },
    {
      batchSize: 1,
      prepare: (server) => {
        server.script = async ({ path }) => {
          if (path.endsWith("/ack")) await release.promise;
          return undefined;
        };
      },
    },
  );
});

test("settling is tried again, and what is odd is told", async () => {
  let failures = 1;
  await consuming(
    () => undefined,
    async ({ server, events }) => {
      server.offer(pulled("1"), pulled("2"));
      await events.atLeast(1, "events");
      assert.deepEqual(events.items, [
        { kind: "settle-warning", queue: "orders", messageId: "2", warning: "the lease had ended" },
      ]);
      assert.equal(server.to("/ack").length, 2);
    },
    {
      client: { time: new TestTime({ instantBelowMs: 30_000 }) },
      prepare: (server) => {
        server.script = ({ path }) => {
          if (!path.endsWith("/ack")) return undefined;
          if (failures-- > 0) return refusal(503, 15000, "Not now");
          return ok({ ackCount: 2, retryCount: 0, warnings: { "lease-2": "the lease had ended", stranger: "?" } });
        };
      },
    },
  );
});

test("when settling fails for good the messages are named, and consuming goes on", async () => {
  let isFirst = true;
  await consuming(
    () => undefined,
    async ({ server, events }) => {
      server.offer(pulled("1"));
      const [event] = await events.atLeast(1, "events");
      assert.ok(event?.kind === "settle-failed");
      assert.deepEqual([event.messageIds, event.error.code], [["1"], "UNAVAILABLE"]);
      server.offer(pulled("2"));
      await server.settled.atLeast(1, "settled messages");
    },
    {
      client: { retry: { attempts: 1 } },
      prepare: (server) => {
        server.script = ({ path }) => {
          if (!path.endsWith("/ack") || !isFirst) return undefined;
          isFirst = false;
          return refusal(500, 15000, "Broken");
        };
      },
    },
  );
});

test("a paused queue and a server that is away are waited for", async () => {
  const replies = [
    refusal(409, 10252, "queue_delivery_paused", { "x-should-retry": "false" }),
    "hang up" as const,
    refusal(500, 15000, "A defect", { "x-should-retry": "false" }),
  ];
  await consuming(
    () => undefined,
    async ({ server, events }) => {
      server.offer(pulled("1"));
      await server.settled.atLeast(1, "settled messages");
      assert.deepEqual(
        events.items.map((event) => event.kind === "pull-failed" && [event.error.code, event.retryInMs]),
        [
          ["QUEUE_PAUSED", 50],
          ["CONNECTION_FAILED", 100],
          ["UNAVAILABLE", 200],
        ],
      );
    },
    {
      client: { time: new TestTime({ instantBelowMs: 30_000 }), randomBytes: (count) => new Uint8Array(count) },
      prepare: (server) => {
        server.script = ({ path }) => (path.endsWith("/pull") ? replies.shift() : undefined);
      },
    },
  );
});

for (const [what, reply, code] of [
  ["a wrong token", refusal(403, 10000, "Authentication error"), "UNAUTHORIZED"],
  ["a queue that is gone", refusal(404, 10104, "No such queue"), "QUEUE_NOT_FOUND"],
  ["a queue without a pull consumer", refusal(400, 10026, "no http_pull consumer"), "REQUEST_REFUSED"],
] as const) {
  test(`${what} ends the consumer, and is told`, async () => {
    await consuming(
      () => undefined,
      async ({ consumer }) => {
        await assert.rejects(soon(consumer.finished, "the end"), { name: "QueueError", code });
        await assert.rejects(consumer.stop(), { code });
      },
      {
        prepare: (server) => {
          server.script = ({ path }) => (path.endsWith("/pull") ? reply : undefined);
        },
      },
    );
  });
}

test("a listener that throws ends the consumer instead of being lost", async () => {
  await consuming(
    () => {
      throw new Error("handler");
    },
    async ({ server, consumer }) => {
      server.offer(pulled("1"));
      await assert.rejects(soon(consumer.finished, "the end"), /listener/);
      assert.deepEqual(server.settled.items, [{ lease: "lease-1", verdict: "retry" }]);
    },
    {
      onEvent: () => {
        throw new Error("listener");
      },
    },
  );
});

test("stopping gives up the open pull, lets handlers end, and settles their batches", async () => {
  const started = new Watched<AbortSignal>();
  const release = deferred();
  await consuming(
    async (_batch, { signal }) => {
      started.push(signal);
      await release.promise;
    },
    async ({ server, consumer }) => {
      server.offer(pulled("1"), pulled("2"));
      const [signal] = await started.atLeast(2, "handlers");
      const openPull = (): SeenRequest | undefined => pulls(server).find(({ gone }) => !gone.aborted);
      await server.requests.until(() => openPull() !== undefined, "a held pull");
      assert.equal(signal?.aborted, false);
      const stopped = consumer.stop();
      assert.equal(signal.aborted, true);
      release.resolve();
      await soon(stopped, "the stop");
      assert.equal(server.settled.items.length, 2);
      await consumer.stop(); // again
    },
    { concurrency: 3, batchSize: 1 },
  );
});

test("an aborted signal stops the consumer", async () => {
  const controller = new AbortController();
  await consuming(
    () => undefined,
    async ({ server, consumer }) => {
      await server.requests.until(() => pulls(server).length === 1, "a pull");
      controller.abort();
      await soon(consumer.finished, "the end");
      await soon(
        new Promise<void>((resolve) => {
          const { gone } = pulls(server)[0] ?? assert.fail();
          if (gone.aborted) resolve();
          else
            gone.addEventListener("abort", () => {
              resolve();
            });
        }),
        "the pull given up",
      );
    },
    { signal: controller.signal },
  );
});

test("with a signal that is aborted already nothing is pulled", async () => {
  await consuming(
    () => undefined,
    async ({ server, consumer }) => {
      await consumer.finished;
      assert.equal(server.requests.items.length, 0);
    },
    { signal: AbortSignal.abort() },
  );
});

test("messages that have begun to arrive when the consumer is stopped are handled, not left to their leases", async () => {
  await using server = await RestServer.start();
  const arriving = deferred();
  const release = deferred();
  const queue = createClient({
    ...server.options,
    fetch: async (url, init) => {
      const response = await fetch(url, init);
      if (!url.endsWith("/pull")) return response;
      return {
        status: response.status,
        headers: response.headers,
        text: async () => {
          arriving.resolve();
          await release.promise;
          return await response.text();
        },
      };
    },
  }).queue("orders");
  const handled: string[] = [];
  const consumer = consume(queue, (batch) => void handled.push(...batch.messages.map(({ id }) => id)));
  server.offer(pulled("1"));
  await soon(arriving.promise, "the answer");
  const stopped = consumer.stop();
  release.resolve();
  await soon(stopped, "the stop");
  assert.deepEqual(handled, ["1"]);
  assert.deepEqual(server.settled.items, [{ lease: "lease-1", verdict: "ack" }]);
});

test("a consumer is disposable", async () => {
  await using server = await RestServer.start();
  let finished: Promise<void> | undefined;
  {
    await using consumer = consume(createClient(server.options).queue("orders"), () => undefined);
    finished = consumer.finished;
    server.offer(pulled("1"));
    await server.settled.atLeast(1, "settled messages");
  }
  await finished;
});

test("a queue named by its id is called by its name in batches", async () => {
  await using server = await RestServer.start();
  const names = new Watched<string>();
  const consumer = consume(createClient(server.options).queue(queueId), ({ queue }) => {
    names.push(queue);
  });
  server.offer(pulled("1"));
  assert.deepEqual(await names.atLeast(1, "batches"), ["orders"]);
  await consumer.stop();
});

for (const [options, message] of [
  [{ concurrency: 0 }, /concurrency: expected a whole number of batches from 1 to 1000, got 0/],
  [{ batchSize: 101 }, /batchSize/],
  [{ waitMs: 60_001 }, /waitMs/],
  [{ visibilityTimeoutMs: -1 }, /visibilityTimeoutMs/],
  [{ visibilityTimeoutMs: 999, extendLeases: true }, /visibilityTimeoutMs: .* from 1000/],
] as const) {
  test(`consume refuses ${JSON.stringify(options)}`, async () => {
    await using server = await RestServer.start();
    const queue = createClient(server.options).queue("orders");
    assert.throws(() => consume(queue, () => undefined, options), { code: "OPTION_INVALID", message });
  });
}

test("consume takes the client's own queues and a handler", async () => {
  await using server = await RestServer.start();
  const queue = createClient(server.options).queue("orders");
  assert.throws(() => consume({ ...queue }, () => undefined), TypeError);
  assert.throws(() => consume(queue, undefined as unknown as QueueHandler), TypeError);
});
