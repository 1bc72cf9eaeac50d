// The concurrency rule at work: a consumer simulated second by second, arrivals and handler times as given.

import assert from "node:assert/strict";
import { test } from "node:test";
import { initialConcurrency, reconsider } from "../../src/core/index.ts";

interface Load {
  readonly seconds: number;
  readonly arrivalsPerSecond: (second: number) => number;
  readonly batchSize: number;
  readonly handlerSeconds: number;
  readonly fails: (second: number) => boolean;
  readonly ceiling: number;
}

interface Second {
  readonly backlog: number;
  readonly inFlight: number;
  readonly target: number;
}

function simulate(load: Load): Second[] {
  let state = initialConcurrency;
  let ready = 0;
  let running: number[] = [];
  const history: Second[] = [];
  for (let second = 0; second < load.seconds; second += 1) {
    ready += load.arrivalsPerSecond(second);
    const finished = running.filter((end) => end <= second);
    running = running.filter((end) => end > second);
    for (const _ of finished) {
      state = reconsider(state, { failed: load.fails(second), ready, batchSize: load.batchSize }, load.ceiling);
    }
    while (running.length < state.target && ready >= load.batchSize) {
      ready -= load.batchSize;
      running.push(second + load.handlerSeconds);
    }
    history.push({ backlog: ready, inFlight: running.length, target: state.target });
  }
  return history;
}

const steady: Load = {
  seconds: 1_200,
  arrivalsPerSecond: () => 100,
  batchSize: 100,
  handlerSeconds: 5,
  fails: () => false,
  ceiling: 250,
};

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

test("100 messages a second, batches of 100, 5 seconds a batch: settles at about 5 at once, and the backlog does not grow", () => {
  const late = simulate(steady).slice(600);
  const inFlight = mean(late.map((second) => second.inFlight));
  assert.ok(inFlight > 4.5 && inFlight < 6, `${inFlight} at once`);
  const half = late.length / 2;
  const backlog = (seconds: readonly Second[]): number => mean(seconds.map((second) => second.backlog));
  assert.ok(backlog(late.slice(half)) <= backlog(late.slice(0, half)) + steady.batchSize);
  assert.ok(backlog(late) < 1_000, `${backlog(late)} waiting`);
});

test("a burst raises the number until it is gone, then it falls back", () => {
  const history = simulate({ ...steady, arrivalsPerSecond: (second) => (second < 60 ? 2_000 : 100) });
  assert.ok(Math.max(...history.map(({ target }) => target)) > 20);
  const last = history.at(-1);
  assert.ok(last !== undefined && last.backlog < 1_000 && last.inFlight <= 8);
});

test("max_concurrency is never passed", () => {
  const history = simulate({ ...steady, arrivalsPerSecond: () => 2_000, ceiling: 7 });
  assert.equal(Math.max(...history.map(({ inFlight }) => inFlight)), 7);
});

test("a handler that fails throughout is called one at a time, however large the backlog", () => {
  const history = simulate({ ...steady, fails: (second) => second > 300 });
  assert.equal(history.at(-1)?.inFlight, 1);
});
