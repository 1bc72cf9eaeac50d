import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import {
  acksAll,
  epochMs,
  failedDelivery,
  leaseExpired,
  milliseconds,
  resolveVerdicts,
  seconds,
  settle,
} from "../../src/core/index.ts";
import type { DeliveryResult, MessageId, QueueId, RetryPolicy } from "../../src/core/index.ts";

const now = epochMs(1_000_000);
const dlq = "d".repeat(32) as QueueId;
const policy: RetryPolicy = { maxRetries: 3, retryDelay: seconds(9), deadLetterQueue: dlq };
const [a, b, c] = ["a", "b", "c"] as unknown as [MessageId, MessageId, MessageId];
const batch = [{ id: a }, { id: b }, { id: c }];
const ok: DeliveryResult = { ...failedDelivery("ok") };

describe("settle", () => {
  test("an ack deletes the message whatever the attempt", () => {
    for (const attempts of [1, 4, 101])
      assert.deepEqual(settle(attempts, { kind: "ack" }, policy, now), { kind: "ack" });
  });

  test("max_retries N means N + 1 deliveries, then the dead letter queue", () => {
    for (const attempts of [1, 2, 3]) {
      assert.equal(settle(attempts, { kind: "retry", delay: undefined }, policy, now).kind, "retry");
    }
    assert.deepEqual(settle(4, { kind: "retry", delay: undefined }, policy, now), { kind: "deadLetter", queue: dlq });
  });

  test("max_retries 0 means one delivery", () => {
    const once = { ...policy, maxRetries: 0 };
    assert.deepEqual(settle(1, leaseExpired, once, now), { kind: "deadLetter", queue: dlq });
  });

  test("without a dead letter queue an exhausted message is dropped", () => {
    const dropping = { ...policy, deadLetterQueue: undefined };
    assert.deepEqual(settle(4, { kind: "retry", delay: undefined }, dropping, now), { kind: "drop" });
  });

  test("a retry's own delay wins over the consumer's, an explicit 0 too", () => {
    const visibleAt = (delay: number | undefined): unknown =>
      settle(1, { kind: "retry", delay: delay === undefined ? undefined : seconds(delay) }, policy, now);
    assert.deepEqual(visibleAt(undefined), { kind: "retry", visibleAt: now + 9_000 });
    assert.deepEqual(visibleAt(4), { kind: "retry", visibleAt: now + 4_000 });
    assert.deepEqual(visibleAt(0), { kind: "retry", visibleAt: undefined });
  });

  test("every message ends after at most max_retries + 1 deliveries", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 100 }), fc.boolean(), (maxRetries, hasDeadLetterQueue) => {
        const rules = { ...policy, maxRetries, deadLetterQueue: hasDeadLetterQueue ? dlq : undefined };
        let deliveries = 0;
        let kind = "retry";
        while (kind === "retry") {
          deliveries += 1;
          kind = settle(deliveries, leaseExpired, rules, now).kind;
        }
        assert.equal(deliveries, maxRetries + 1);
        assert.equal(kind, hasDeadLetterQueue ? "deadLetter" : "drop");
      }),
    );
  });
});

describe("resolveVerdicts", () => {
  const kinds = (result: DeliveryResult): string[] => resolveVerdicts(batch, result).map((verdict) => verdict.kind);

  test("success acks what nobody decided", () => {
    assert.deepEqual(kinds(ok), ["ack", "ack", "ack"]);
  });

  test("failure retries what nobody decided, and keeps explicit acks", () => {
    assert.deepEqual(kinds({ ...failedDelivery("exception"), explicitAcks: [a] }), ["ack", "retry", "retry"]);
  });

  test("an explicit ack goes before an explicit retry of the same message", () => {
    const result = { ...ok, explicitAcks: [a], retryMessages: [{ id: a, delay: undefined }] };
    assert.deepEqual(kinds(result), ["ack", "ack", "ack"]);
  });

  test("ackAll counts when the handler failed", () => {
    assert.deepEqual(kinds({ ...failedDelivery("exception"), ackAll: true }), ["ack", "ack", "ack"]);
  });

  test("a single retry goes before ackAll", () => {
    const result = { ...ok, ackAll: true, retryMessages: [{ id: b, delay: undefined }] };
    assert.deepEqual(kinds(result), ["ack", "retry", "ack"]);
  });

  test("retryAll retries all but explicit acks, though the outcome is ok", () => {
    const result = { ...ok, retryBatch: { retry: true, delay: seconds(4) }, explicitAcks: [c] };
    assert.deepEqual(resolveVerdicts(batch, result), [
      { kind: "retry", delay: 4_000 },
      { kind: "retry", delay: 4_000 },
      { kind: "ack" },
    ]);
  });

  test("a message's own retry delay goes before retryAll's, 0 too; without one it takes retryAll's", () => {
    const retryMessages = [
      { id: a, delay: milliseconds(0) },
      { id: b, delay: undefined },
    ];
    const result = { ...ok, retryBatch: { retry: true, delay: seconds(4) }, retryMessages };
    assert.deepEqual(
      resolveVerdicts(batch, result).map((verdict) => (verdict.kind === "retry" ? verdict.delay : "ack")),
      [0, 4_000, 4_000],
    );
  });

  test("ids that are not in the batch are ignored", () => {
    const stranger = "z" as unknown as MessageId;
    assert.deepEqual(kinds({ ...failedDelivery("exception"), explicitAcks: [stranger] }), ["retry", "retry", "retry"]);
  });

  test("who acknowledges all is told without looking at the messages, and never wrongly", () => {
    const delay = fc.constantFrom(undefined, seconds(0), seconds(4));
    const result: fc.Arbitrary<DeliveryResult> = fc.record({
      outcome: fc.constantFrom("ok", "exception"),
      ackAll: fc.boolean(),
      retryBatch: fc.record({ retry: fc.boolean(), delay }),
      explicitAcks: fc.subarray([a, b, c]),
      retryMessages: fc.subarray([a, b]).map((ids) => ids.map((id) => ({ id, delay: undefined }))),
    });
    fc.assert(
      fc.property(result, (each) => {
        if (acksAll(each)) assert.deepEqual(kinds(each), ["ack", "ack", "ack"]);
        else if (each.explicitAcks.length === 0) assert.notDeepEqual(kinds(each), ["ack", "ack", "ack"]);
      }),
    );
  });
});
