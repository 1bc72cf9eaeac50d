import assert from "node:assert/strict";
import { test } from "node:test";
import { epochMs, takeTokens } from "../../src/core/index.ts";

const now = epochMs(1_000_000);

test("a full bucket passes one second's worth at once, then refuses and says for how long", () => {
  const first = takeTokens(undefined, 5, 5, now);
  assert.equal(first.kind, "taken");
  const second = takeTokens(first.bucket, 1, 5, now);
  assert.deepEqual([second.kind, second.kind === "refused" && second.retryAfterMs], ["refused", 200]);
  assert.equal(takeTokens(second.bucket, 1, 5, epochMs(now + 200)).kind, "taken");
});

test("a count above the rate passes a full bucket and is paid for afterwards", () => {
  const large = takeTokens(undefined, 100, 10, now);
  assert.equal(large.kind, "taken");
  const next = takeTokens(large.bucket, 1, 10, epochMs(now + 1_000));
  assert.deepEqual([next.kind, next.kind === "refused" && next.retryAfterMs], ["refused", 8_100]);
});

test("a clock that goes back gives nothing and takes nothing", () => {
  const { bucket } = takeTokens(undefined, 5, 5, now);
  assert.equal(takeTokens(bucket, 1, 5, epochMs(now - 3_600_000)).kind, "refused");
});
