// What the queue binding makes of its arguments, in the runtime itself: rows of docs/reference/compatibility.md, section 2.

import assert from "node:assert/strict";
import { test } from "node:test";
import { eventsBinding, HostHarness } from "../worker-host/host-harness.ts";

const source = `
const circular = {};
circular.self = circular;
const cases = {
  undefined: (queue) => queue.send(undefined),
  undefinedInABatch: (queue) => queue.sendBatch([{ body: undefined }]),
  emptyBatch: (queue) => queue.sendBatch([]),
  unknownType: (queue) => queue.send(1, { contentType: "xml" }),
  upperCaseInABatch: (queue) => queue.sendBatch([{ body: "x", contentType: "TEXT" }]),
  textOfANumber: (queue) => queue.send(1, { contentType: "text" }),
  arrayBuffer: (queue) => queue.send(new ArrayBuffer(2), { contentType: "bytes" }),
  circular: (queue) => queue.send(circular),
  bigInt: (queue) => queue.send(1n),
  uncloneable: (queue) => queue.send(() => 1, { contentType: "v8" }),

  null: (queue) => queue.send(null),
  upperCase: (queue) => queue.send("upper", { contentType: "TEXT" }),
  fraction: (queue) => queue.send("1.7", { delaySeconds: 1.7 }),
  numberAsText: (queue) => queue.send("12", { delaySeconds: "12" }),
  notANumber: (queue) => queue.send("NaN", { delaySeconds: NaN }),
  nestedOptions: (queue) => queue.sendBatch([{ body: "nested", options: { delaySeconds: 50 } }]),
  zero: (queue) => queue.send("a\\u0000b", { contentType: "text" }),
  dataView: (queue) => queue.send(new DataView(new ArrayBuffer(3)), { contentType: "bytes" }),
  async detached(queue) {
    const sent = new Uint8Array(2);
    const batched = new Uint8Array(2);
    await queue.send(sent, { contentType: "bytes" });
    await queue.sendBatch([{ body: batched, contentType: "bytes" }]);
    return [sent.byteLength, batched.byteLength];
  },
};
export default {
  async fetch(request, env) {
    try {
      return Response.json((await cases[new URL(request.url).pathname.slice(1)](env.EVENTS)) ?? null);
    } catch (error) {
      return new Response(error.name + ": " + error.message);
    }
  },
};`;

test("arguments that mean nothing are refused by the runtime, and nothing is sent", async () => {
  await using harness = await HostHarness.open();
  const queue = await harness.queue("events");
  await harness.deploy({ source, bindings: [eventsBinding(queue)] });
  const expected = {
    undefined: /^TypeError: Message body cannot be undefined$/,
    undefinedInABatch: /^TypeError: Message body cannot be undefined$/,
    emptyBatch: /^TypeError: sendBatch\(\) requires at least one message$/,
    unknownType: /^TypeError: Unsupported queue message content type: xml$/,
    upperCaseInABatch: /^TypeError: Unsupported queue message content type: TEXT$/,
    textOfANumber: /^TypeError: Content Type "text" requires a value of type string, but received: number$/,
    arrayBuffer: /^TypeError: Content Type "bytes" requires a value of type ArrayBufferView/,
    circular: /^TypeError: Converting circular structure to JSON/,
    bigInt: /^TypeError: Do not know how to serialize a BigInt/,
    uncloneable: /^DataCloneError: /,
  };
  for (const [call, pattern] of Object.entries(expected)) assert.match(await harness.fetch(`/${call}`), pattern, call);
  assert.deepEqual(await harness.stored(queue), []);
});

test("what the runtime makes of the rest", async () => {
  await using harness = await HostHarness.open();
  const queue = await harness.queue("events");
  await harness.deploy({ source, bindings: [eventsBinding(queue)] });
  for (const call of ["null", "upperCase", "fraction", "numberAsText", "notANumber", "nestedOptions", "zero"]) {
    assert.match(await harness.fetch(`/${call}`), /^{"metadata":{"metrics":{"backlogCount":/, call);
  }
  const stored = await harness.engine.peek(queue.id, { max: 100 });
  assert.deepEqual(
    stored.map(({ contentType, body, sentAt, until }) => [
      contentType,
      Buffer.from(body).toString(),
      (until ?? sentAt) - sentAt,
    ]),
    [
      ["json", "null", 0],
      ["text", "upper", 0],
      ["json", '"1.7"', 1_000],
      ["json", '"12"', 12_000],
      ["json", '"NaN"', 0],
      ["json", '"nested"', 0],
      ["text", "a", 0], // cut at the NUL: the server never sees the rest
    ],
  );
  assert.match(await harness.fetch("/dataView"), /"backlogCount":8/);
  assert.equal(await harness.fetch("/detached"), "[0,2]", "send takes the caller's buffer, sendBatch copies it");
});
