// What a Worker's queue handler gets, and what becomes of what it says.

import assert from "node:assert/strict";
import { serialize } from "node:v8";
import { test } from "node:test";
import type { DeliveryOutcome } from "../../src/broker/index.ts";
import { eventsBinding, HostHarness, message } from "./host-harness.ts";

function completed(outcome: DeliveryOutcome): Extract<DeliveryOutcome, { readonly kind: "completed" }> {
  assert.equal(outcome.kind, "completed", JSON.stringify(outcome));
  return outcome;
}

const showBatch = `
function show(body) {
  if (body instanceof Uint8Array) return ["Uint8Array", body.buffer.byteLength, ...body];
  if (body instanceof Map) return ["Map", ...[...body].map(([k, v]) => [k, v instanceof Date ? "Date " + v.getTime() : v])];
  return body;
}
export default { async queue(batch) {
  const { metrics } = batch.metadata;
  console.log(JSON.stringify({
    queue: batch.queue,
    metrics: [metrics.backlogCount, metrics.backlogBytes, metrics.oldestMessageTimestamp?.getTime()],
    messages: batch.messages.map(({ id, timestamp, attempts, body }) => [id, timestamp.getTime(), attempts, show(body)]),
  }));
} };`;

test("a batch arrives with name, metrics and every content type decoded", async () => {
  await using harness = await HostHarness.open();
  const events = await harness.queue("events");
  await harness.deploy({
    name: "producer",
    source: `export default { async fetch(request, env) {
      await env.EVENTS.send(new Map([["when", new Date(5)], ["n", 1n]].slice(0, 1)), { contentType: "v8" });
      return new Response("sent");
    } };`,
    bindings: [eventsBinding(events)],
  });
  await harness.fetch("/", { worker: "producer" });
  const [v8] = await harness.stored(events);
  assert.ok(v8 !== undefined);
  await harness.deploy({ source: showBatch });

  const outcome = await harness.deliver([
    message('{"a":[1,null,"é"]}', { type: "json", id: "a".repeat(32) }),
    message("text \u0000 é \u{1f600}", { id: "b".repeat(32), attempts: 70_000 }),
    message(new Uint8Array([0, 1, 255]), { type: "bytes", id: "c".repeat(32), attempts: 2 }),
    { ...v8, id: "d".repeat(32) as typeof v8.id },
    message("null", { type: "json", id: "e".repeat(32) }),
    message("", { type: "bytes", id: "f".repeat(32) }),
  ]);
  assert.equal(completed(outcome).result.outcome, "ok");
  await harness.line('"queue"');
  const shown = JSON.parse(harness.console().at(-1) ?? "") as { messages: unknown[][] };
  const at = 1_790_000_000_000;
  assert.deepEqual(shown, {
    queue: "events",
    metrics: [7, 70, 1_700_000_000_000],
    messages: [
      ["a".repeat(32), at, 1, { a: [1, null, "é"] }],
      ["b".repeat(32), at, 65_535, "text \u0000 é \u{1f600}"],
      ["c".repeat(32), at, 2, ["Uint8Array", 3, 0, 1, 255]],
      ["d".repeat(32), v8.sentAt, 1, ["Map", ["when", "Date 5"]]],
      ["e".repeat(32), at, 1, null],
      ["f".repeat(32), at, 1, ["Uint8Array", 0]],
    ],
  });
});

test("a full batch of the largest messages passes", async () => {
  await using harness = await HostHarness.open();
  await harness.deploy({
    source: `export default { queue(batch) { console.log(batch.messages.reduce((sum, { body }) => sum + body.byteLength, 0)); } };`,
  });
  const body = new Uint8Array(128_000).fill(7);
  const batch = Array.from({ length: 100 }, () => message(body, { type: "bytes" }));
  assert.equal(completed(await harness.deliver(batch)).result.outcome, "ok");
  await harness.line("12800000");
});

const decisions = `
const [A, B, C] = [0, 1, 2];
const cases = {
  nothing() {},
  "ack each"(b) { for (const m of b.messages) m.ack(); },
  "ack then throw"(b) { b.messages[A].ack(); b.messages[B].retry({ delaySeconds: 5 }); throw new Error("after deciding"); },
  "ackAll then throw"(b) { b.ackAll(); throw new Error("after ackAll"); },
  "retryAll"(b) { b.retryAll({ delaySeconds: 4 }); },
  "ack then retryAll"(b) { b.messages[A].ack(); b.retryAll(); },
  "retry then ackAll"(b) { b.messages[B].retry(); b.ackAll(); },
  "ack then retry"(b) { b.messages[A].ack(); b.messages[A].retry(); },
  "strange delays"(b) { b.messages[A].retry({ delaySeconds: -5 }); b.messages[B].retry({ delaySeconds: 1.9 }); b.messages[C].retry({ delaySeconds: 99999 }); },
  "zero delay"(b) { b.messages[A].retry({ delaySeconds: 0 }); },
  "awaited ack"(b) { return scheduler.wait(20).then(() => b.messages[A].ack()); },
  "waitUntil ack"(b, env, ctx) { ctx.waitUntil(scheduler.wait(20).then(() => b.messages[A].ack())); },
  "waitUntil rejects"(b, env, ctx) { ctx.waitUntil(scheduler.wait(5).then(() => { throw new RangeError("in waitUntil"); })); },
  "rejects"() { return Promise.reject(new TypeError("rejected")); },
  "throws a string"() { throw "just words"; },
};
export default { queue(batch, env, ctx) { return cases[batch.queue](batch, env, ctx); } };`;

test("decisions come back as the handler took them, whatever its outcome", async () => {
  await using harness = await HostHarness.open();
  await harness.deploy({ source: decisions });
  const ids = ["a", "b", "c"].map((letter) => letter.repeat(32));
  const run = async (queue: string): Promise<Record<string, unknown>> => {
    const messages = ids.map((id) => message("x", { id }));
    const { result, error } = completed(await harness.deliver(messages, { queue }));
    const name = (id: string): string => id.slice(0, 1);
    return {
      outcome: result.outcome,
      ...(result.ackAll ? { ackAll: true } : {}),
      ...(result.retryBatch.retry ? { retryAll: result.retryBatch.delay ?? "default" } : {}),
      acks: result.explicitAcks.map(name).toSorted().join(""),
      retries: Object.fromEntries(result.retryMessages.map(({ id, delay }) => [name(id), delay ?? "default"])),
      error: error?.message,
    };
  };
  const none = { outcome: "ok", acks: "", retries: {}, error: undefined };
  assert.deepEqual(await run("nothing"), none);
  assert.deepEqual(await run("ack each"), { ...none, acks: "abc" });
  const failed = { ...none, outcome: "exception" };
  assert.deepEqual(await run("ack then throw"), {
    ...failed,
    acks: "a",
    retries: { b: 5_000 },
    error: "after deciding",
  });
  assert.deepEqual(await run("ackAll then throw"), { ...failed, ackAll: true, error: "after ackAll" });
  assert.deepEqual(await run("retryAll"), { ...none, retryAll: 4_000 });
  assert.deepEqual(await run("ack then retryAll"), { ...none, acks: "a", retryAll: "default" });
  assert.deepEqual(await run("retry then ackAll"), { ...none, retries: { b: "default" }, ackAll: true });
  assert.deepEqual(await run("ack then retry"), { ...none, acks: "a" });
  assert.deepEqual(await run("strange delays"), { ...none, retries: { a: 0, b: 1_000, c: 86_400_000 } });
  assert.deepEqual(await run("zero delay"), { ...none, retries: { a: 0 } });
  assert.deepEqual(await run("awaited ack"), { ...none, acks: "a" });
  assert.deepEqual(await run("waitUntil ack"), { ...none, acks: "a" });
  assert.deepEqual(await run("waitUntil rejects"), { ...failed, error: "in waitUntil" });
  assert.deepEqual(await run("rejects"), { ...failed, error: "rejected" });
  assert.deepEqual(await run("throws a string"), { ...failed, error: "just words" });
});

test("with queue_consumer_no_wait_for_wait_until only the handler's own promise counts", async () => {
  await using harness = await HostHarness.open();
  await harness.deploy({ source: decisions, flags: ["queue_consumer_no_wait_for_wait_until"] });
  const run = async (queue: string): Promise<readonly [string, number, string | undefined]> => {
    const { result, error } = completed(await harness.deliver([message("x"), message("y"), message("z")], { queue }));
    return [result.outcome, result.explicitAcks.length, error?.message];
  };
  assert.deepEqual(await run("waitUntil ack"), ["ok", 0, undefined]);
  assert.deepEqual(await run("waitUntil rejects"), ["ok", 0, undefined]);
  await harness.error("in waitUntil"); // until it is told, it may be taken for that of a batch that fails meanwhile
  assert.deepEqual(await run("rejects"), ["exception", 0, "rejected"]);
});

test("a Worker without a queue handler fails the batch and says so", async () => {
  await using harness = await HostHarness.open();
  await harness.deploy({ source: `export default { fetch() { return new Response("only fetch"); } };` });
  const { result, error } = completed(await harness.deliver([message("x")]));
  assert.equal(result.outcome, "exception");
  assert.match(error?.message ?? "", /does not export a queue\(\) function/);
});

test("class entrypoints and service-worker scripts take batches", async () => {
  await using harness = await HostHarness.open();
  await harness.deploy({
    name: "class",
    source: `import { WorkerEntrypoint } from "cloudflare:workers";
      export class Other extends WorkerEntrypoint { ping() { return 1; } }
      export default class extends WorkerEntrypoint {
        queue(batch) { console.log("class", this.env.GREETING, batch.messages[0].body); batch.messages[0].ack(); }
      }`,
    bindings: [{ type: "plain_text", name: "GREETING", text: 'he said "hi"\n' }],
  });
  await harness.deploy({
    name: "script",
    kind: "service-worker",
    source: `addEventListener("queue", (event) => {
      console.log("script", GREETING, event.messages[0].body, { nested: [1] });
      event.waitUntil(scheduler.wait(5).then(() => event.messages[0].ack()));
    });`,
    bindings: [{ type: "plain_text", name: "GREETING", text: "hello" }],
  });
  const ofClass = completed(await harness.deliver([message("x")], { worker: "class" }));
  assert.deepEqual([ofClass.result.outcome, ofClass.result.explicitAcks.length], ["ok", 1]);
  const ofScript = completed(await harness.deliver([message("y")], { worker: "script" }));
  assert.deepEqual([ofScript.result.outcome, ofScript.result.explicitAcks.length], ["ok", 1]);
  await harness.line('class he said "hi"\n x');
  await harness.line('script hello y {"nested":[1]}');
});

test("a stored body that is not what its type says fails alone", async () => {
  await using harness = await HostHarness.open();
  await harness.deploy({
    source: `export default { queue(batch) { console.log("got", batch.messages.map(({ body }) => typeof body === "object" ? "clone" : body).join()); } };`,
  });
  const good = serialize(new Map()); // Node's clone bytes are what a newer runtime would write
  const batch = [
    message("1", { type: "json" }),
    message("not json", { type: "json", id: "b".repeat(32) }),
    message(new Uint8Array([1, 2, 3]), { type: "v8", id: "c".repeat(32) }),
    message(good, { type: "v8" }),
    message("four"),
  ];
  const { result } = completed(await harness.deliver(batch));
  assert.equal(result.outcome, "ok");
  assert.deepEqual(
    result.retryMessages.map(({ id }) => id.slice(0, 1)),
    ["b", "c"],
  );
  await harness.line("got 1,clone,four");
  const alone = completed(await harness.deliver([message("{", { type: "json", id: "d".repeat(32) })]));
  assert.deepEqual([alone.result.outcome, alone.result.retryMessages.length], ["ok", 1]);
});

test("a handler's own failure on v8 bodies is not taken for a bad body", async () => {
  await using harness = await HostHarness.open();
  await harness.deploy({ source: `export default { queue() { console.log("ran"); throw new Error("mine"); } };` });
  const { result, error } = completed(await harness.deliver([message(serialize(1), { type: "v8" })]));
  assert.deepEqual([result.outcome, result.retryMessages.length, error?.message], ["exception", 0, "mine"]);
  assert.equal(harness.console().filter((line) => line === "ran").length, 1);
});
