// The quick judgement of bodies agrees with the schemas: what it takes, they take, and leave as it is.
import assert from "node:assert/strict";
import { test } from "node:test";

import fc from "fast-check";
import {
  ackBody,
  bulkPushBody,
  isAck,
  isBulkPush,
  isPull,
  isPushItem,
  pullBody,
  pushBody,
} from "../../src/contract/rest/index.ts";

const value = fc.oneof(
  fc.constantFrom(
    "text",
    "json",
    5,
    1.5,
    -1,
    Number.POSITIVE_INFINITY,
    Number.NaN,
    null,
    undefined,
    true,
    "0".repeat(32),
    "x".repeat(32),
  ),
  fc.jsonValue({ maxDepth: 1 }),
);
const item = fc.dictionary(
  fc.constantFrom("body", "content_type", "delay_seconds", "millrace_message_id", "lease_id", "other", "__proto__"),
  value,
);
const list = fc.oneof(fc.array(fc.oneof({ weight: 5, arbitrary: item }, value), { maxLength: 3 }), value);
const whole = fc.oneof(
  item,
  fc.record({ messages: list, delay_seconds: value }, { requiredKeys: [] }),
  fc.record({ acks: list, retries: list }, { requiredKeys: [] }),
  fc.record({ batch_size: value, visibility_timeout_ms: value, millrace_batches: value }, { requiredKeys: [] }),
  value,
  fc.array(value),
);

// What producers and consumers usually send. All of it has to be taken, so that no test below is about nothing.
const usualPush = fc.record(
  { body: fc.jsonValue({ maxDepth: 1 }), content_type: fc.constant("json") },
  { requiredKeys: ["body"] },
);
const usualAcks = fc.array(fc.record({ lease_id: fc.string() }, { noNullPrototype: true }), { maxLength: 3 });
const usualPull = fc.record(
  {
    batch_size: fc.integer({ min: 1, max: 100 }),
    visibility_timeout_ms: fc.integer({ min: 0, max: 43_200_000 }),
    millrace_batches: fc.integer({ min: 1, max: 5 }),
    millrace_settle: fc.record({ acks: usualAcks }, { noNullPrototype: true }),
  },
  { requiredKeys: [] },
);

for (const { name, usual, isUsual, schema } of [
  { name: "push", usual: usualPush, isUsual: isPushItem, schema: pushBody },
  {
    name: "bulk push",
    usual: fc.record({ messages: fc.array(usualPush, { minLength: 1, maxLength: 3 }) }),
    isUsual: isBulkPush,
    schema: bulkPushBody,
  },
  {
    name: "ack",
    usual: fc.record({ acks: usualAcks, retries: fc.constant([]) }, { requiredKeys: ["acks"] }),
    isUsual: isAck,
    schema: ackBody,
  },
  { name: "pull", usual: usualPull, isUsual: isPull, schema: pullBody.unwrap() },
]) {
  test(`${name}: what is usual is taken at a glance`, () => {
    fc.assert(fc.property(usual, (input) => isUsual(input)));
  });

  test(`${name}: what is taken at a glance is what the schema takes`, () => {
    fc.assert(
      fc.property(fc.oneof(whole, usual), (input) => {
        if (!isUsual(input)) return;
        const parsed = schema.safeParse(input);
        assert.ok(parsed.success, JSON.stringify(input));
        // The schema leaves keys out that it does not know; nothing else differs.
        assert.deepEqual(schema.parse(parsed.data), parsed.data);
        for (const [key, each] of Object.entries(parsed.data)) {
          if (!Array.isArray(each)) assert.deepEqual(each, (input as Record<string, unknown>)[key]);
        }
      }),
      { numRuns: 3_000 },
    );
  });
}
