import assert from "node:assert/strict";
import { test } from "node:test";
import { averageTime, batchesToLease, milliseconds, mostAhead } from "../../src/core/index.ts";

const backlog = { count: 1_000, bytes: 200_000, oldestSentAt: undefined };
const quick = { averageMs: milliseconds(2), concurrency: 4, batchSize: 10, backlog };

test("a handler gets batches ahead for 20 ms of its work, at most 32 and 640 messages", () => {
  assert.equal(mostAhead({ ...quick, concurrency: 1 }), 10);
  assert.equal(mostAhead({ ...quick, concurrency: 2 }), 20);
  assert.equal(mostAhead(quick), 32);
  assert.equal(mostAhead({ ...quick, averageMs: milliseconds(0) }), 32);
  assert.equal(mostAhead({ ...quick, concurrency: 1, batchSize: 100 }), 6);
});

test("however long its work and however large its batches, it gets twice as many ahead as run at once, at least four", () => {
  const steady = { ...quick, averageMs: milliseconds(20) };
  assert.equal(mostAhead({ ...steady, concurrency: 1 }), 4);
  assert.equal(mostAhead({ ...steady, concurrency: 4 }), 8);
  assert.equal(mostAhead({ ...steady, concurrency: 250 }), 32);
  assert.equal(mostAhead({ ...quick, concurrency: 4, batchSize: 100 }), 8);
});

test("a slow handler, or one that nothing is known of, gets none ahead", () => {
  assert.equal(mostAhead({ ...quick, averageMs: milliseconds(21) }), 0);
  assert.equal(mostAhead({ ...quick, averageMs: undefined }), 0);
});

test("what is held ahead is bounded in bytes", () => {
  const large = { count: 100, bytes: 10_000_000, oldestSentAt: undefined };
  assert.equal(mostAhead({ ...quick, batchSize: 8, backlog: large }), 5);
  assert.equal(mostAhead({ ...quick, batchSize: 25, backlog: large }), 1);
  assert.equal(mostAhead({ ...quick, batchSize: 100, backlog: large }), 0);
});

test("one slow run among quick ones does not make a handler slow", () => {
  let average = averageTime(undefined, milliseconds(4));
  assert.equal(average, 4);
  average = averageTime(average, milliseconds(40));
  assert.equal(average, 13);
});

const work = { places: 0, ahead: 0, mostAhead: 0, ready: 100, batchSize: 10 };

test("a free place gets a batch that is due, full or not", () => {
  assert.equal(batchesToLease({ ...work, places: 1, ready: 3 }), 1);
  assert.equal(batchesToLease({ ...work, places: 4, ready: 25 }), 2);
  assert.equal(batchesToLease({ ...work, places: 4 }), 4);
});

test("nothing is leased for a place that a batch waits for", () => {
  assert.equal(batchesToLease({ ...work, places: 1, ahead: 1 }), 0);
  assert.equal(batchesToLease({ ...work, places: 3, ahead: 1 }), 2);
});

test("only full batches are leased ahead, several at once, when half of them are used up", () => {
  assert.equal(batchesToLease({ ...work, mostAhead: 4 }), 4);
  assert.equal(batchesToLease({ ...work, mostAhead: 4, ahead: 3 }), 0);
  assert.equal(batchesToLease({ ...work, mostAhead: 4, ahead: 2 }), 2);
  assert.equal(batchesToLease({ ...work, mostAhead: 4, ready: 9 }), 0);
  assert.equal(batchesToLease({ ...work, places: 2, mostAhead: 4 }), 6);
});
