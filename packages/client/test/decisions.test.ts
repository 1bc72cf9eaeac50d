// What becomes of messages: the sequences measured in the Workers runtime, and the six rules in their order.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Decisions } from "../src/decisions.ts";
import type { Verdict } from "../src/decisions.ts";

const ack: Verdict = { kind: "ack" };
const retry = (delaySeconds?: number): Verdict => ({ kind: "retry", delaySeconds });

type Steps = (batch: Decisions) => readonly (string | undefined)[];

/** Of message 0 after a handler that succeeded, and after one that failed. */
const sequences: readonly (readonly [
  what: string,
  steps: Steps,
  succeeded: Verdict,
  failed: Verdict,
  ignored?: RegExp,
])[] = [
  ["nothing", () => [], ack, retry()],
  ["ack", (b) => [b.ack(0)], ack, ack],
  ["retry", (b) => [b.retry(0, undefined)], retry(), retry()],
  ["ackAll", (b) => [b.ackAll()], ack, ack],
  ["retryAll", (b) => [b.retryAll(undefined)], retry(), retry()],
  ["retryAll with a delay", (b) => [b.retryAll(9)], retry(9), retry(9)],
  ["ack, retry", (b) => [b.ack(0), b.retry(0, 1)], ack, ack, /retry\(\) after ack\(\)/],
  ["retry, ack", (b) => [b.retry(0, 1), b.ack(0)], retry(1), retry(1), /ack\(\) after retry\(\)/],
  ["retry 4, retry 8", (b) => [b.retry(0, 4), b.retry(0, 8)], retry(8), retry(8)],
  ["retry 4, retry", (b) => [b.retry(0, 4), b.retry(0, undefined)], retry(), retry()],
  ["ack, retryAll", (b) => [b.ack(0), b.retryAll(5)], ack, ack],
  ["retry, ackAll", (b) => [b.retry(0, 2), b.ackAll()], retry(2), retry(2)],
  ["retryAll, ack", (b) => [b.retryAll(5), b.ack(0)], retry(5), retry(5), /ack\(\) after retryAll\(\)/],
  ["retryAll, retry 1", (b) => [b.retryAll(5), b.retry(0, 1)], retry(1), retry(1)],
  ["retryAll, retry 0", (b) => [b.retryAll(5), b.retry(0, 0)], retry(0), retry(0)],
  ["retry without a delay, retryAll 5", (b) => [b.retry(0, undefined), b.retryAll(5)], retry(5), retry(5)],
  ["ackAll, retry", (b) => [b.ackAll(), b.retry(0, 1)], ack, ack, /retry\(\) after ackAll\(\)/],
  ["ackAll, retryAll", (b) => [b.ackAll(), b.retryAll(1)], ack, ack, /retryAll\(\) after ackAll\(\)/],
  ["retryAll, ackAll", (b) => [b.retryAll(1), b.ackAll()], retry(1), retry(1), /ackAll\(\) after retryAll\(\)/],
  ["retryAll 4, retryAll", (b) => [b.retryAll(4), b.retryAll(undefined)], retry(4), retry(4)],
  ["a decision on a neighbour", (b) => [b.ack(1), b.retry(2, 3)], ack, retry()],
];

for (const [what, steps, succeeded, failed, ignored] of sequences) {
  test(`${what}: ${succeeded.kind}, and ${failed.kind} after a failure`, () => {
    const batch = new Decisions();
    const reasons = steps(batch).filter((reason) => reason !== undefined);
    assert.deepEqual(batch.verdict(0, true), succeeded);
    assert.deepEqual(batch.verdict(0, false), failed);
    if (ignored === undefined) assert.deepEqual(reasons, []);
    else assert.match(reasons.join(), ignored);
  });
}
