// What bindings send, in the runtime's own writing and in any other that means the same.

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { isMillraceError } from "../../src/core/index.ts";
import { readBatch } from "../../src/worker-host/binding-request.ts";

interface Sent {
  readonly body: Uint8Array;
  readonly contentType: string | undefined;
  readonly delaySecs: number | undefined;
}

const sent: fc.Arbitrary<readonly Sent[]> = fc.array(
  fc.record({
    body: fc.uint8Array({ maxLength: 40 }),
    contentType: fc.constantFrom("json", "text", "bytes", "v8", undefined),
    delaySecs: fc.option(fc.integer({ min: -100, max: 2_147_483_647 }), { nil: undefined }),
  }),
  { maxLength: 100 },
);

const base64 = (body: Uint8Array): string => Buffer.from(body).toString("base64");

/** As workerd writes it, the space included. */
function asRuntime(messages: readonly Sent[]): string {
  const items = messages.map(({ body, contentType, delaySecs }) => {
    const type = contentType === undefined ? "" : `,"contentType":"${contentType}"`;
    const delay = delaySecs === undefined ? "" : `,"delaySecs": ${delaySecs}`;
    return `{"body":"${base64(body)}"${type}${delay}}`;
  });
  return `{"messages":[${items.join(",")}]}`;
}

/** The same in another order, with other white space, and with escapes. */
function otherwise(messages: readonly Sent[]): string {
  const items = messages.map(({ body, contentType, delaySecs }) => ({ delaySecs, contentType, body: base64(body) }));
  return JSON.stringify({ messages: items }, undefined, 1).replaceAll("/", "\\/");
}

function read(text: string): unknown {
  const { items, batchDelaySeconds } = readBatch(Buffer.from(text, "latin1"), "7");
  assert.equal(batchDelaySeconds, 7);
  return items.map(({ body, contentType, delaySeconds }) => [[...body], contentType, delaySeconds]);
}

test("a batch means the same however it is written", () => {
  fc.assert(
    fc.property(sent, (messages) => {
      const expected = messages.map(({ body, contentType = "v8", delaySecs }) => [[...body], contentType, delaySecs]);
      assert.deepEqual(read(asRuntime(messages)), expected);
      assert.deepEqual(read(otherwise(messages)), expected);
    }),
  );
});

test("bodies are decoded into the request's own bytes", () => {
  const bytes = Buffer.from(asRuntime([{ body: Buffer.from("hello"), contentType: "text", delaySecs: undefined }]));
  assert.equal(readBatch(bytes, undefined).items[0]?.body.buffer, bytes.buffer);
});

test("a batch that is spoiled anywhere is refused, or is read as JSON reads it", () => {
  const text = asRuntime([
    { body: Buffer.from("{}"), contentType: "json", delaySecs: 3 },
    { body: Buffer.from("hello"), contentType: undefined, delaySecs: undefined },
  ]);
  for (let at = 0; at < text.length; at += 1) {
    for (const spoiled of [
      `${text.slice(0, at)}${text.slice(at + 1)}`,
      `${text.slice(0, at)}"${text.slice(at + 1)}`,
      text.slice(0, at),
    ]) {
      let parsed: { messages?: readonly { body?: unknown; contentType?: unknown; delaySecs?: unknown }[] } | undefined;
      try {
        parsed = JSON.parse(spoiled) as typeof parsed;
      } catch {
        parsed = undefined;
      }
      let result: unknown;
      try {
        result = read(spoiled);
      } catch (error) {
        assert.ok(isMillraceError(error), `${spoiled}: ${String(error)}`);
        continue;
      }
      const expected = parsed?.messages?.map(({ body, contentType = "v8", delaySecs }) => [
        [...Buffer.from(String(body), "base64")],
        contentType,
        delaySecs,
      ]);
      assert.deepEqual(result, expected, spoiled);
    }
  }
});

const one = (fields: string): string => `{"messages":[{"body":"aGk="${fields}}]}`;
for (const [what, text] of Object.entries({
  "no JSON": "messages",
  "no list": '{"messages":{}}',
  "a body that is no text": '{"messages":[{"body":1}]}',
  "no body": '{"messages":[{}]}',
  "a delay in words": one(',"delaySecs": "1"'),
  "a delay with a zero before it": one(',"delaySecs": 01'),
  "two batches": `${one("")}${one("")}`,
  "a comma too many": '{"messages":[{"body":"aGk="},]}',
  "a line feed in a body": '{"messages":[{"body":"aGk=\n"}]}',
  "101 messages": `{"messages":[${Array.from({ length: 101 }, () => '{"body":"aGk="}').join(",")}]}`,
  "a function sent as json": `{"messages":[{"body":"${Buffer.from("undefined").toString("base64")}","contentType":"json"}]}`,
})) {
  test(`refused: ${what}`, () => {
    assert.throws(() => read(text), isMillraceError);
  });
}
