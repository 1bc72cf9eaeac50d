import assert from "node:assert/strict";
import { test } from "node:test";
import { epochMs, makeMessageId, MillraceError, sentAtOf } from "../../src/core/index.ts";
import type { ErrorCode, NewMessage } from "../../src/core/index.ts";
import { cloudflareError, prepareSend } from "../../src/contract/index.ts";
import type { SendItem } from "../../src/contract/index.ts";

const now = epochMs(1_800_000_000_000);
const item = (fields: Partial<SendItem> = {}): SendItem => ({
  contentType: "json",
  body: new TextEncoder().encode("1"),
  delaySeconds: undefined,
  ...fields,
});

function prepare(items: readonly SendItem[], batchDelaySeconds?: number, queueDelaySeconds = 0): readonly NewMessage[] {
  let made = 0;
  return prepareSend(items, { batchDelaySeconds, queueDelaySeconds }, now, () =>
    makeMessageId(now, new Uint8Array(10).fill((made += 1))),
  );
}

function refused(code: ErrorCode, number: number, items: readonly SendItem[], batchDelaySeconds?: number): void {
  assert.throws(
    () => prepare(items, batchDelaySeconds),
    (error) => error instanceof MillraceError && error.code === code && error.remedy.length > 0,
  );
  assert.equal(cloudflareError(code, "data").code, number);
}

test("a message of 128,000 bytes is accepted, one byte more is refused", () => {
  assert.equal(prepare([item({ body: new Uint8Array(128_000) })])[0]?.body.byteLength, 128_000);
  refused("MESSAGE_TOO_LARGE", 10_204, [item({ body: new Uint8Array(128_001) })]);
});

test("100 messages are accepted, 101 and none are refused", () => {
  assert.equal(prepare(Array.from({ length: 100 }, () => item())).length, 100);
  refused(
    "BATCH_COUNT_INVALID",
    10_206,
    Array.from({ length: 101 }, () => item()),
  );
  refused("BATCH_COUNT_INVALID", 10_206, []);
});

test("a batch of 256,000 bytes is accepted, one byte more is refused", () => {
  const halves = [item({ body: new Uint8Array(128_000) }), item({ body: new Uint8Array(127_999) })];
  assert.equal(prepare([...halves, item({ body: new Uint8Array(1) })]).length, 3);
  refused("BATCH_TOO_LARGE", 10_205, [...halves, item({ body: new Uint8Array(2) })]);
});

test("delays from 0 to 86400 seconds are accepted, others are refused", () => {
  assert.equal(prepare([item({ delaySeconds: 86_400 })])[0]?.visibleAt, now + 86_400_000);
  for (const delaySeconds of [-1, 86_401, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
    refused("DELAY_INVALID", 10_203, [item({ delaySeconds })]);
    refused("BATCH_DELAY_INVALID", 10_202, [item()], delaySeconds);
  }
});

test("a message's delay goes before the batch's, that before the queue's; an explicit 0 wins", () => {
  const visibleAt = (own: number | undefined, batch: number | undefined): unknown =>
    prepare([item({ delaySeconds: own })], batch, 7)[0]?.visibleAt;
  assert.equal(visibleAt(undefined, undefined), now + 7_000);
  assert.equal(visibleAt(undefined, 5), now + 5_000);
  assert.equal(visibleAt(3, 5), now + 3_000);
  assert.equal(visibleAt(0, 5), undefined);
  assert.equal(visibleAt(undefined, 0), undefined);
});

test("an unknown content type is refused", () => {
  refused("CONTENT_TYPE_INVALID", 10_203, [item({ contentType: "xml" })]);
});

test("one bad message refuses the whole batch", () => {
  refused("DELAY_INVALID", 10_203, [item(), item({ delaySeconds: -1 })]);
});

test("a message id tells when it was sent and sorts by it", () => {
  const random = new Uint8Array(10).fill(255);
  const early = makeMessageId(epochMs(now - 1), random);
  const late = makeMessageId(now, new Uint8Array(10));
  assert.equal(sentAtOf(late), now);
  assert.ok(early < late);
  assert.match(late, /^[0-9a-f]{32}$/);
});
