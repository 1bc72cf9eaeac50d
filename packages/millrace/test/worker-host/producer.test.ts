// What a Worker's queue binding does against the server: every call, every failure, in the runtime's own words.

import assert from "node:assert/strict";
import { test } from "node:test";
import { deleteQueue } from "../../src/broker/index.ts";
import { eventsBinding, HostHarness } from "./host-harness.ts";

/** Runs the body of the request as an expression over `env` and answers what it gave or threw. */
const evaluator = `
const text = (error) => error.name + ": " + error.message;
const cases = {
  send: (env) => env.EVENTS.send({ hello: "world" }),
  sendOptions: (env) => env.EVENTS.send("plain", { contentType: "text", delaySeconds: 60 }),
  sendBytes: (env) => env.EVENTS.send(new Uint8Array([0, 255, 10]), { contentType: "bytes" }),
  sendV8: (env) => env.EVENTS.send(new Map([["when", new Date(0)]]), { contentType: "v8" }),
  sendEmpty: (env) => env.EVENTS.send("", { contentType: "text" }),
  sendBatch: (env) => env.EVENTS.sendBatch([
    { body: { n: 1 } },
    { body: "two", contentType: "text", delaySeconds: 90 },
    { body: new Uint8Array([1, 2]), contentType: "bytes" },
    { body: new Map([[1, 2]]), contentType: "v8", delaySeconds: 0 },
  ], { delaySeconds: 30 }),
  metrics: (env) => env.EVENTS.metrics(),
  tooLarge: (env) => env.EVENTS.send("x".repeat(128001), { contentType: "text" }),
  farTooLarge: (env) => env.EVENTS.send("x".repeat(3000000), { contentType: "text" }),
  largest: (env) => env.EVENTS.send("x".repeat(128000), { contentType: "text" }),
  tooMany: (env) => env.EVENTS.sendBatch(Array.from({ length: 101 }, () => ({ body: 1 }))),
  batchTooLarge: (env) => env.EVENTS.sendBatch(Array.from({ length: 3 }, () => ({ body: "x".repeat(100000), contentType: "text" }))),
  batchFarTooLarge: (env) => env.EVENTS.sendBatch(Array.from({ length: 30 }, () => ({ body: "x".repeat(100000), contentType: "text" }))),
  batchItemTooLarge: (env) => env.EVENTS.sendBatch([{ body: "x".repeat(128001), contentType: "text" }]),
  negativeDelay: (env) => env.EVENTS.send(1, { delaySeconds: -1 }),
  longDelay: (env) => env.EVENTS.send(1, { delaySeconds: 86401 }),
  batchLongDelay: (env) => env.EVENTS.sendBatch([{ body: 1 }], { delaySeconds: 86401 }),
  itemLongDelay: (env) => env.EVENTS.sendBatch([{ body: 1, delaySeconds: 86401 }]),
  aFunction: (env) => env.EVENTS.send(() => 1, { contentType: "json" }),
  aFunctionInABatch: (env) => env.EVENTS.sendBatch([{ body: 1 }, { body: () => 1, contentType: "json" }]),
};
export default {
  async fetch(request, env) {
    try {
      const result = await cases[new URL(request.url).pathname.slice(1)](env);
      return new Response("ok " + JSON.stringify(result));
    } catch (error) {
      return new Response(text(error));
    }
  },
};`;

test("a Worker of today sends every content type and learns the metrics", async () => {
  await using harness = await HostHarness.open();
  const queue = await harness.queue("events");
  await harness.deploy({ source: evaluator, bindings: [eventsBinding(queue)] });

  assert.match(await harness.fetch("/metrics"), /^ok {"backlogCount":0,"backlogBytes":0}$/);
  assert.match(
    await harness.fetch("/send"),
    /^ok {"metadata":{"metrics":{"backlogCount":1,"backlogBytes":17,"oldestMessageTimestamp":"20\d\d-[^"]*Z"}}}$/,
  );
  for (const call of ["/sendBytes", "/sendV8", "/sendEmpty", "/largest"])
    assert.match(await harness.fetch(call), /^ok /);
  assert.match(
    await harness.fetch("/metrics"),
    /^ok {"backlogCount":5,"backlogBytes":128\d\d\d,"oldestMessageTimestamp":"/,
  );

  const [json, bytes, v8, empty, largest] = await harness.stored(queue);
  assert.deepEqual([json?.contentType, Buffer.from(json?.body ?? []).toString()], ["json", '{"hello":"world"}']);
  assert.deepEqual([bytes?.contentType, [...(bytes?.body ?? [])]], ["bytes", [0, 255, 10]]);
  assert.deepEqual([v8?.contentType, [...(v8?.body.subarray(0, 2) ?? [])]], ["v8", [0xff, 0x0f]]);
  assert.deepEqual([empty?.contentType, empty?.body.byteLength], ["text", 0]);
  assert.equal(largest?.body.byteLength, 128_000);
});

test("a batch keeps content types, and delays go item, batch, queue", async () => {
  await using harness = await HostHarness.open();
  const queue = await harness.queue("events");
  await harness.deploy({ source: evaluator, bindings: [eventsBinding(queue)] });

  assert.match(await harness.fetch("/sendBatch"), /^ok {"metadata":{"metrics":{"backlogCount":4,/);
  const ready = await harness.stored(queue);
  assert.deepEqual(
    ready.map(({ contentType }) => contentType),
    ["v8"],
    "its own delay of 0 wins over the batch's 30",
  );
  const peeked = await harness.engine.peek(queue.id, { max: 100 });
  const delays = new Map(peeked.map(({ contentType, until, sentAt }) => [contentType, (until ?? sentAt) - sentAt]));
  assert.deepEqual([delays.get("json"), delays.get("text"), delays.get("bytes")], [30_000, 90_000, 30_000]);
  assert.match(await harness.fetch("/sendOptions"), /^ok /);
});

test("a Worker with an old compatibility date sends v8 and sees reason phrases", async () => {
  await using harness = await HostHarness.open();
  const queue = await harness.queue("events");
  await harness.deploy({ source: evaluator, bindings: [eventsBinding(queue)], date: "2023-01-01" });

  assert.match(await harness.fetch("/send"), /^ok /);
  assert.equal((await harness.stored(queue))[0]?.contentType, "v8");
  const expected = {
    tooLarge: "Error: Queue send failed: Message length of 128001 bytes exceeds the limit of 128000",
    farTooLarge: "Error: Queue send failed: Message length of 3000000 bytes exceeds the limit of 128000",
    tooMany: "Error: Queue sendBatch failed: Batch message count of 101 exceeds the limit of 100",
    batchTooLarge: "Error: Queue sendBatch failed: Batch size of 300000 bytes exceeds the limit of 256000",
    negativeDelay: "Error: Queue send failed: Message delay of -1 seconds is outside 0 to 86400",
  };
  for (const [call, text] of Object.entries(expected)) assert.equal(await harness.fetch(`/${call}`), text);
});

test("a Worker of today sees the cause and the code of every refused send", async () => {
  await using harness = await HostHarness.open();
  const queue = await harness.queue("events");
  await harness.deploy({ source: evaluator, bindings: [eventsBinding(queue)], date: "2026-04-01" });
  const expected = {
    tooLarge: /Message length of 128001 bytes exceeds the limit of 128000 \(10204\)$/,
    farTooLarge: /Message length of 3000000 bytes exceeds the limit of 128000 \(10204\)$/,
    tooMany: /Batch message count of 101 exceeds the limit of 100 \(10206\)$/,
    batchTooLarge: /Batch size of 300000 bytes exceeds the limit of 256000 \(10205\)$/,
    batchFarTooLarge: /Batch size of 3000000 bytes exceeds the limit of 256000 \(10205\)$/,
    batchItemTooLarge: /Message length of 128001 bytes exceeds the limit of 128000 \(10204\)$/,
    negativeDelay: /Message delay of -1 seconds is outside 0 to 86400 \(10203\)$/,
    longDelay: /Message delay of 86401 seconds is outside 0 to 86400 \(10203\)$/,
    itemLongDelay: /Message delay of 86401 seconds is outside 0 to 86400 \(10203\)$/,
    batchLongDelay: /Batch delay of 86401 seconds is outside 0 to 86400 \(10202\)$/,
    aFunction: /A function or symbol cannot be sent as json \(10208\)$/,
    aFunctionInABatch: /A function or symbol cannot be sent as json \(10208\)$/,
  };
  for (const [call, pattern] of Object.entries(expected)) assert.match(await harness.fetch(`/${call}`), pattern, call);
  assert.match(await harness.fetch("/metrics"), /"backlogCount":0/, "nothing of it was stored");
});

test("a queue that is deleted is reported as QueueNotFound, and found again by name when it is made anew", async () => {
  await using harness = await HostHarness.open();
  const queue = await harness.queue("events");
  await harness.deploy({ source: evaluator, bindings: [eventsBinding(queue)] });
  await harness.controlPlane.change("test", (view, context) => deleteQueue(view, context, queue.id));
  assert.equal(await harness.fetch("/send"), "Error: Queue events does not exist (10104)");
  assert.equal(await harness.fetch("/metrics"), "Error: Queue events does not exist (10104)");
  const again = await harness.queue("events");
  assert.match(await harness.fetch("/send"), /^ok /);
  assert.equal((await harness.stored(again)).length, 1);
});

test("a Worker reaches no unix socket of the server", async () => {
  await using harness = await HostHarness.open();
  const queue = await harness.queue("events");
  await harness.deploy({
    source: `import { connect } from "cloudflare:sockets";
      export default { async fetch(request) {
        const address = await request.text();
        const results = [];
        for (const target of ["http://unix:" + address + "/metrics", "unix:" + address]) {
          try { results.push("status " + (await fetch(target)).status); } catch (error) { results.push("refused"); }
        }
        try { const s = connect({ hostname: "unix:" + address, port: 1 }); await s.opened; results.push("opened"); } catch (error) { results.push("refused"); }
        return new Response(results.join());
      } };`,
    bindings: [eventsBinding(queue)],
  });
  const answer = await harness.fetch("/", { body: "/tmp/millrace-any/b" });
  assert.equal(answer, "refused,refused,refused");
});
