// What may be sent: the same argument errors as in a Worker, and what REST adds to them.

import assert from "node:assert/strict";
import { test } from "node:test";
import { createClient, QueueError } from "../src/index.ts";
import type { Queue, QueueSendOptions } from "../src/index.ts";
import { queueId, RestServer } from "./support/rest-server.ts";

/** As JavaScript would call it. */
interface Loose {
  send(body: unknown, options?: unknown): Promise<unknown>;
  sendBatch(messages: unknown, options?: unknown): Promise<unknown>;
}

async function withQueue(run: (queue: Loose, server: RestServer) => Promise<void>): Promise<void> {
  await using server = await RestServer.start();
  await run(createClient(server.options).queue(queueId), server);
}

const circular: { self?: unknown } = {};
circular.self = circular;

const typeErrors: readonly (readonly [what: string, call: (queue: Loose) => Promise<unknown>, message: RegExp])[] = [
  ["an undefined body", (queue) => queue.send(undefined), /^Message body cannot be undefined$/],
  ["an undefined body in a batch", (queue) => queue.sendBatch([{}]), /^Message body cannot be undefined$/],
  ["an empty batch", (queue) => queue.sendBatch([]), /^sendBatch\(\) requires at least one message$/],
  [
    "an unknown content type",
    (queue) => queue.send("x", { contentType: "yaml" }),
    /^Unsupported queue message content type: yaml$/,
  ],
  [
    "an upper-case content type in a batch",
    (queue) => queue.sendBatch([{ body: "x", contentType: "TEXT" }]),
    /^Unsupported queue message content type: TEXT$/,
  ],
  [
    "text that is no string",
    (queue) => queue.send(7, { contentType: "text" }),
    /^Content Type "text" requires a value of type string, but received: number$/,
  ],
  ["a circular body", (queue) => queue.send(circular), /circular/],
  ["a BigInt", (queue) => queue.send(1n), /BigInt/],
  ["a function, which a Worker sends as no JSON", (queue) => queue.send(() => 1), /function cannot be represented/],
  ["half a surrogate pair as text", (queue) => queue.send("\ud800", { contentType: "text" }), /well-formed/],
  ["a batch that is no iterable", (queue) => queue.sendBatch({ body: 1 }), /takes an iterable/],
  ["a batch of bare values", (queue) => queue.sendBatch([1]), /objects with a body/],
];

for (const [what, call, message] of typeErrors) {
  test(`${what} is a TypeError and does not travel`, async () => {
    await withQueue(async (queue, server) => {
      await assert.rejects(call(queue), (error) => error instanceof TypeError && message.test(error.message));
      assert.equal(server.requests.items.length, 0);
    });
  });
}

const queueErrors: readonly (readonly [
  what: string,
  call: (queue: Loose) => Promise<unknown>,
  code: string,
  number?: number,
])[] = [
  ["bytes", (queue) => queue.send(new Uint8Array(1), { contentType: "bytes" }), "CONTENT_TYPE_UNSUPPORTED"],
  ["v8", (queue) => queue.sendBatch([{ body: new Map(), contentType: "v8" }]), "CONTENT_TYPE_UNSUPPORTED"],
  ["a message of 128,001 bytes", (queue) => queue.send("é".repeat(64_000)), "MESSAGE_TOO_LARGE", 10204],
  [
    "101 messages",
    (queue) => queue.sendBatch(Array.from({ length: 101 }, () => ({ body: 1 }))),
    "BATCH_COUNT_INVALID",
    10206,
  ],
  [
    "a batch of more than 256,000 bytes",
    (queue) => queue.sendBatch(Array.from({ length: 3 }, () => ({ body: "x".repeat(90_000) }))),
    "BATCH_TOO_LARGE",
    10205,
  ],
  ["a negative delay", (queue) => queue.send(1, { delaySeconds: -1 }), "DELAY_INVALID", 10203],
  ["an infinite delay", (queue) => queue.send(1, { delaySeconds: Infinity }), "DELAY_INVALID", 10203],
  [
    "a batch delay of more than a day",
    (queue) => queue.sendBatch([{ body: 1 }], { delaySeconds: 86_401 }),
    "DELAY_INVALID",
    10203,
  ],
];

for (const [what, call, code, number] of queueErrors) {
  test(`${what} is refused with ${code} and does not travel`, async () => {
    await withQueue(async (queue, server) => {
      await assert.rejects(call(queue), (error) => {
        assert.ok(error instanceof QueueError);
        assert.equal(error.code, code);
        assert.equal(error.retryable, false);
        assert.equal(error.status, undefined);
        assert.deepEqual(error.cloudflareCodes, number === undefined ? [] : [number]);
        assert.match(error.message, new RegExp(`\\(${code}\\)\\. \\w`)); // with the remedy
        return true;
      });
      assert.equal(server.requests.items.length, 0);
    });
  });
}

const accepted: readonly (readonly [what: string, body: unknown, options: unknown, json: object])[] = [
  ["null", null, undefined, { body: null, content_type: "json" }],
  ["an upper-case content type", "x", { contentType: "TEXT" }, { body: "x", content_type: "text" }],
  ["a fraction of a second", 1, { delaySeconds: 1.7 }, { body: 1, content_type: "json", delay_seconds: 1 }],
  ["a delay as text", 1, { delaySeconds: "12" }, { body: 1, content_type: "json", delay_seconds: 12 }],
  ["a delay that is no number", 1, { delaySeconds: Number.NaN }, { body: 1, content_type: "json", delay_seconds: 0 }],
  ["half a surrogate pair in JSON", { a: "\ud800" }, undefined, { body: { a: "\ud800" }, content_type: "json" }],
  ["a date", new Date(0), undefined, { body: "1970-01-01T00:00:00.000Z", content_type: "json" }],
];

for (const [what, body, options, json] of accepted) {
  test(`${what} travels as in a Worker`, async () => {
    await withQueue(async (queue, server) => {
      await queue.send(body, options);
      assert.deepEqual(server.requests.items[0]?.body, json);
    });
  });
}

test("the limits count bytes of UTF-8 and let through what just fits", async () => {
  await withQueue(async (queue) => {
    await queue.send("é".repeat(63_999)); // and the quotes
    await queue.send("😀".repeat(32_000), { contentType: "text" });
    await assert.rejects(queue.send(`😀${"😀".repeat(32_000)}`, { contentType: "text" }), {
      code: "MESSAGE_TOO_LARGE",
    });
    await queue.sendBatch(new Set([{ body: 1 }, { body: 2 }])); // any iterable
    await queue.sendBatch(Array.from({ length: 2 }, () => ({ body: "x".repeat(127_998) })));
  });
});

test("a Worker's code takes the client's queue, and the client's queue a Worker's place", () => {
  // The interface of `wrangler types` (2026-11), reduced to what is called.
  interface WorkersQueue<Body = unknown> {
    send(
      message: Body,
      options?: { contentType?: "text" | "bytes" | "json" | "v8"; delaySeconds?: number },
    ): Promise<{
      metadata: { metrics: { backlogCount: number; backlogBytes: number; oldestMessageTimestamp?: Date } };
    }>;
    sendBatch(
      messages: Iterable<{ body: Body; contentType?: "text" | "bytes" | "json" | "v8"; delaySeconds?: number }>,
      options?: { delaySeconds?: number },
    ): Promise<unknown>;
    metrics(): Promise<{ backlogCount: number; backlogBytes: number; oldestMessageTimestamp?: Date }>;
  }
  const asWorkers = (queue: Queue<{ a: number }>): WorkersQueue<{ a: number }> => queue;
  const fromWorkers = (queue: WorkersQueue<{ a: number }>): Pick<Queue<{ a: number }>, "send" | "metrics"> => queue;
  // @ts-expect-error: REST does not carry bytes, and the compiler knows.
  const options: QueueSendOptions = { contentType: "bytes" };
  assert.ok(asWorkers !== undefined && fromWorkers !== undefined && options !== undefined);
});
