// Bytes of a request to a JSON value, and what is looked for in them before.
import assert from "node:assert/strict";
import { test } from "node:test";

import fc from "fast-check";
import { parseJsonBody } from "../../src/api/json-body.ts";
import { limits } from "../../src/contract/index.ts";

const parse = (text: string): unknown => parseJsonBody(Buffer.from(text));
const rewritten = (text: string): string => JSON.stringify(parse(text));

test("what JSON.parse makes of a text is made of its bytes", () => {
  fc.assert(
    fc.property(fc.json({ noUnicodeString: false }), (text) => {
      assert.deepEqual(parse(text), JSON.parse(text));
    }),
    { numRuns: 2_000 },
  );
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(...Array.from('[]{}"\\,:019eE-+. tnu\u00e9')) }), (text) => {
      let expected: unknown;
      try {
        expected = JSON.parse(text);
      } catch {
        if (text !== "") assert.throws(() => parse(text), { code: "REQUEST_MALFORMED" });
        return;
      }
      assert.equal(JSON.stringify(JSON.parse(rewritten(text))), JSON.stringify(expected)); // as text, where -0 is 0
    }),
    { numRuns: 5_000 },
  );
});

test("numbers that a double cannot hold stay as they were written, wherever they stand", () => {
  for (const text of ["12345678901234567890", "1e999", "-1E400", "0.12345678901234567", "123456789012345678e-5"]) {
    for (const whole of [text, `[${text}]`, `{"a":${text}}`, `["x\\\\",${text},"é"]`]) {
      assert.equal(rewritten(whole), whole);
    }
  }
  assert.equal(rewritten("[1.50, 1e2, 100000000000000]"), "[1.5,100,100000000000000]");
});

test("brackets and digits inside strings are only text", () => {
  const strings = [
    "[".repeat(3_000),
    "{".repeat(3_000),
    `\\"${"[".repeat(3_000)}`,
    "1234567890123456789",
    "1e5",
    "\\\\",
  ];
  for (const text of strings) {
    const whole = `{"${text}":["${text}"]}`;
    assert.equal(rewritten(whole), whole);
  }
});

test("nesting is counted to the level", () => {
  const nested = (depth: number): string => `${'{"a":['.repeat(depth / 2)}${"]}".repeat(depth / 2)}`;
  const { max } = { max: limits.request.jsonDepth };
  assert.equal(rewritten(nested(max)), nested(max));
  assert.throws(() => parse(nested(max + 2)), { code: "REQUEST_MALFORMED", message: /nests more than/ });
  assert.equal((parse(`[${"[],".repeat(5_000)}[]]`) as unknown[]).length, 5_001, "many, but not deep");
});

test("a byte order mark is passed over, invalid UTF-8 is refused", () => {
  assert.deepEqual(parse("\ufeff[1]"), [1]);
  for (const bytes of [[0x22, 0xff, 0x22], [0x22, 0xed, 0xa0, 0x80, 0x22], [0xc3]]) {
    assert.throws(() => parseJsonBody(Uint8Array.from(bytes)), { code: "REQUEST_MALFORMED", message: /UTF-8/ });
  }
  assert.equal(parseJsonBody(new Uint8Array()), undefined);
  assert.equal(parseJsonBody(undefined), undefined);
});
