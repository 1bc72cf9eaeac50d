// Concurrent sends travel together, each with its own outcome.

import assert from "node:assert/strict";
import { test } from "node:test";
import { createClient, QueueError } from "../src/index.ts";
import { deferred, soon } from "./support/deadline.ts";
import { ok, queueId, refusal, RestServer } from "./support/rest-server.ts";
import type { SeenRequest, SentMessage } from "./support/rest-server.ts";
import { TestTime } from "./support/test-time.ts";

/** How many messages each send request carried, in order. */
function sizes(server: RestServer): number[] {
  return server.requests.items
    .filter(({ path }) => /\/messages(\/batch)?$/.test(path))
    .map(({ body }) => messagesOf(body).length);
}

function messagesOf(body: unknown): readonly SentMessage[] {
  return (body as { readonly messages?: SentMessage[] }).messages ?? [body as SentMessage];
}

/** Holds back the first send request until the function returned is called. */
function holdFirst(server: RestServer): () => void {
  const released = deferred();
  let isFirst = true;
  server.script = async () => {
    if (!isFirst) return undefined;
    isFirst = false;
    await released.promise;
    return undefined;
  };
  return () => {
    released.resolve();
  };
}

test("the first send goes at once and alone, what arrives meanwhile travels together", async () => {
  await using server = await RestServer.start();
  const queue = createClient(server.options).queue(queueId);
  const release = holdFirst(server);
  const sends = [1, 2, 3, 4].map((body) => queue.send(body));
  const [first] = await server.requests.atLeast(1, "requests");
  assert.equal(first?.path, `/queues/${queueId}/messages`);
  assert.deepEqual(first.body, { body: 1, content_type: "json" });
  release();
  await Promise.all(sends);
  assert.deepEqual(sizes(server), [1, 3]);
  assert.deepEqual(server.requests.items[1]?.body, {
    messages: [2, 3, 4].map((body) => ({ body, content_type: "json" })),
  });
});

test("a send resolves only when the request that carried it was answered", async () => {
  await using server = await RestServer.start();
  const queue = createClient(server.options).queue(queueId);
  const answers = [deferred(), deferred()];
  server.script = async () => {
    await answers[server.requests.items.length - 1]?.promise;
    return undefined;
  };
  const outcomes: string[] = [];
  const note = (name: string) => () => void outcomes.push(name);
  const a = queue.send("a").then(note("a"));
  const b = queue.send("b").then(note("b"));
  await server.requests.atLeast(1, "requests");
  assert.deepEqual(outcomes, []);
  answers[0]?.resolve();
  await soon(a, "the first send");
  await server.requests.atLeast(2, "requests");
  assert.deepEqual(outcomes, ["a"]);
  answers[1]?.resolve();
  await soon(b, "the second send");
  assert.deepEqual(outcomes, ["a", "b"]);
});

test("a request carries at most 100 messages", async () => {
  await using server = await RestServer.start();
  const queue = createClient(server.options).queue(queueId);
  await Promise.all(Array.from({ length: 250 }, (_, body) => queue.send(body)));
  assert.deepEqual(sizes(server), [1, 100, 100, 49]);
  assert.deepEqual(
    server.stored.map(({ body }) => body),
    Array.from({ length: 250 }, (_, body) => body),
  );
});

test("a request carries at most 256,000 bytes of bodies", async () => {
  await using server = await RestServer.start();
  const queue = createClient(server.options).queue(queueId);
  const text = "x".repeat(100_000);
  await Promise.all(Array.from({ length: 6 }, () => queue.send(text, { contentType: "text" })));
  assert.deepEqual(sizes(server), [1, 2, 2, 1]);
});

test("those who send again as soon as they may stay together", async () => {
  await using server = await RestServer.start();
  const queue = createClient(server.options).queue(queueId);
  const producer = async (): Promise<void> => {
    for (let round = 0; round < 5; round += 1) await queue.send(round);
  };
  await Promise.all(Array.from({ length: 20 }, producer));
  assert.equal(server.stored.length, 100);
  assert.ok(sizes(server).length <= 7, `requests of ${sizes(server).join(", ")} messages`);
});

test("with maxSendRequests, a full request does not wait for the one before it", async () => {
  await using server = await RestServer.start();
  const queue = createClient({ ...server.options, maxSendRequests: 2 }).queue(queueId);
  const release = holdFirst(server);
  const sends = Array.from({ length: 120 }, (_, body) => queue.send(body));
  await server.requests.atLeast(2, "requests");
  await soon(sends[100] ?? Promise.reject(new Error("no such send")), "the full request");
  release();
  await Promise.all(sends);
  assert.deepEqual(sizes(server), [1, 100, 19]);
});

test("a refused message does not take its neighbours with it", async () => {
  await using server = await RestServer.start();
  const queue = createClient(server.options).queue(queueId);
  const bad = new Set(["bad", "worse"]);
  server.script = ({ body, path }: SeenRequest) =>
    path.includes("messages") && messagesOf(body).some((message) => bad.has(String(message.body)))
      ? refusal(400, 10207, "The message cannot be taken")
      : undefined;
  const bodies = ["first", "a", "bad", "b", "c", "worse", "d", "e"];
  const outcomes = await Promise.allSettled(bodies.map((body) => queue.send(body)));
  assert.deepEqual(
    outcomes.map(({ status }) => status),
    bodies.map((body) => (bad.has(body) ? "rejected" : "fulfilled")),
  );
  const stored = new Set(server.stored.map(({ body }) => body));
  assert.deepEqual(stored, new Set(bodies.filter((body) => !bad.has(body))));
  assert.equal(server.stored.length, stored.size);
});

test("what is refused whoever the messages are is not sent again", async () => {
  await using server = await RestServer.start();
  const queue = createClient(server.options).queue(queueId);
  server.script = () => refusal(403, 10106, "Not yours");
  const outcomes = await Promise.allSettled([1, 2, 3].map((body) => queue.send(body)));
  assert.ok(outcomes.every((outcome) => outcome.status === "rejected" && outcome.reason instanceof QueueError));
  assert.deepEqual(sizes(server), [1, 2]);
});

test("a message refused here does not travel, and harms nobody", async () => {
  await using server = await RestServer.start();
  const queue = createClient(server.options).queue(queueId);
  const outcomes = await Promise.allSettled([
    queue.send("good"),
    queue.send("x".repeat(128_001), { contentType: "text" }),
    queue.send("late", { delaySeconds: 86_401 }),
    queue.send("good too"),
  ]);
  assert.deepEqual(
    outcomes.map((outcome) => (outcome.status === "rejected" ? (outcome.reason as QueueError).code : "sent")),
    ["sent", "MESSAGE_TOO_LARGE", "DELAY_INVALID", "sent"],
  );
  assert.equal(server.stored.length, 2);
});

test("what may wait is bounded", async () => {
  await using server = await RestServer.start();
  const queue = createClient({ ...server.options, maxWaitingBytes: 1_000_000 }).queue(queueId);
  const release = holdFirst(server);
  const text = "x".repeat(100_000);
  const sends = Array.from({ length: 12 }, () => queue.send(text, { contentType: "text" }));
  const outcomes = Promise.allSettled(sends);
  await server.requests.atLeast(1, "requests");
  release();
  const refused = (await outcomes).filter(({ status }) => status === "rejected");
  assert.equal(refused.length, 2); // one under way, nine waiting
  assert.ok(
    refused.every((outcome) => "reason" in outcome && (outcome.reason as QueueError).code === "TOO_MANY_WAITING"),
  );
  await queue.send("there is room again");
});

test("a body is serialised before send returns", async () => {
  await using server = await RestServer.start();
  const queue = createClient(server.options).queue<{ state: string }>("orders");
  const body = { state: "as sent" };
  const sent = queue.send(body);
  body.state = "changed";
  await sent;
  assert.deepEqual(server.stored[0]?.body, { state: "as sent" });
});

test("each send answers the backlog that its request was told", async () => {
  await using server = await RestServer.start();
  const queue = createClient(server.options).queue("orders");
  const expected = { backlogCount: 1, backlogBytes: 7, oldestMessageTimestamp: new Date(1_800_000_000_000) };
  assert.deepEqual(await queue.send("x"), { metadata: { metrics: expected } });
  assert.deepEqual(await queue.metrics(), expected);
  server.script = () =>
    ok({ metadata: { metrics: { backlog_count: 0, backlog_bytes: 0, oldest_message_timestamp_ms: 0 } } });
  assert.deepEqual(await queue.send("y"), { metadata: { metrics: { backlogCount: 0, backlogBytes: 0 } } });
  server.script = () => ({ body: { success: true } }); // older servers say no more
  assert.deepEqual(await queue.send("z"), { metadata: { metrics: { backlogCount: 0, backlogBytes: 0 } } });
});

test("sendBatch is one request of its own, beside the sends under way", async () => {
  await using server = await RestServer.start();
  const queue = createClient(server.options).queue(queueId);
  const release = holdFirst(server);
  const single = queue.send("held");
  await server.requests.atLeast(1, "requests");
  await queue.sendBatch([{ body: 1 }, { body: "two", contentType: "text", delaySeconds: 0 }], { delaySeconds: 60 });
  assert.deepEqual(server.requests.items[1]?.body, {
    messages: [
      { body: 1, content_type: "json" },
      { body: "two", content_type: "text", delay_seconds: 0 },
    ],
    delay_seconds: 60,
  });
  release();
  await single;
});

test("no timer is set to collect sends", async () => {
  await using server = await RestServer.start();
  const time = new TestTime();
  const queue = createClient({ ...server.options, time }).queue(queueId);
  await Promise.all([1, 2, 3].map((body) => queue.send(body)));
  assert.deepEqual(time.asked.items, [30_000, 30_000]); // the timeouts of two requests
  assert.deepEqual(time.pending, []);
});
