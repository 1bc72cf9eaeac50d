import assert from "node:assert/strict";
import { test } from "node:test";
import { initialConcurrency, reconsider } from "../../src/core/index.ts";

const full = { failed: false, ready: 100, batchSize: 10 };

test("goes up one at a time while a full batch waits, up to the ceiling", () => {
  let state = initialConcurrency;
  const targets: number[] = [];
  for (let step = 0; step < 6; step += 1) {
    state = reconsider(state, full, 4);
    targets.push(state.target);
  }
  assert.deepEqual(targets, [2, 3, 4, 4, 4, 4]);
});

test("goes down on a failed handler, never below one", () => {
  let state = { ...initialConcurrency, target: 3 };
  const targets: number[] = [];
  for (let step = 0; step < 4; step += 1) {
    state = reconsider(state, { ...full, failed: true }, 250);
    targets.push(state.target);
  }
  assert.deepEqual(targets, [2, 1, 1, 1]);
});

test("a delivery that ends in retries only is no failure", () => {
  assert.equal(reconsider({ ...initialConcurrency, target: 3 }, full, 250).target, 4);
});

test("goes down when no full batch waits any more", () => {
  assert.equal(reconsider({ ...initialConcurrency, target: 5 }, { ...full, ready: 3 }, 250).target, 4);
});
