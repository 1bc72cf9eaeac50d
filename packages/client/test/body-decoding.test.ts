// Pulled bodies become the values that were sent.

import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeBody } from "../src/body-decoding.ts";

const base64 = (data: string | Uint8Array): string => Buffer.from(data).toString("base64");

test("json is parsed from base64, in any language", () => {
  for (const value of [null, 7, "", "plain", { name: "Ada", list: [1, [2]] }, "Grüße, 世界 😀", "\u0000\u007f\u0080"]) {
    assert.deepEqual(decodeBody(base64(JSON.stringify(value)), "json"), value);
  }
});

test("text comes as it is, even when it looks like base64", () => {
  assert.equal(decodeBody("aGVsbG8=", "text"), "aGVsbG8=");
});

test("bytes and v8 come as bytes", () => {
  const bytes = Uint8Array.from({ length: 256 }, (_, index) => index);
  assert.deepEqual(decodeBody(base64(bytes), "bytes"), bytes);
  assert.deepEqual(decodeBody(base64(bytes), "v8"), bytes);
  assert.deepEqual(decodeBody("", "bytes"), new Uint8Array());
});

test("what is not what its type says is an error, not a guess", () => {
  assert.throws(() => decodeBody(base64("undefined"), "json"), SyntaxError);
  assert.throws(() => decodeBody("{ no base64 }", "json"));
  assert.throws(() => decodeBody(base64(Uint8Array.of(0x22, 0xff, 0x22)), "json"), TypeError);
});
