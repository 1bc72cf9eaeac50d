// The clock and the timers everything runs by, when somebody sets the wall clock.

import assert from "node:assert/strict";
import { test } from "node:test";
import { epochMs } from "../src/core/index.ts";
import { steadyClock, timersOn } from "../src/system.ts";

const hour = 3_600_000;

class SetClocks {
  wall = 1_800_000_000_000;
  elapsed = 0;
  readonly clock = steadyClock(
    () => this.wall,
    () => this.elapsed,
  );

  pass(ms: number): void {
    this.wall += ms;
    this.elapsed += ms;
  }
}

test("time goes on at its pace when the wall clock is set back", () => {
  const clocks = new SetClocks();
  const start = clocks.clock.now();
  clocks.wall -= hour;
  clocks.pass(5_000);
  assert.equal(clocks.clock.now() - start, 5_000);
});

test("time follows the wall clock forward, and there again after it was set back", () => {
  const clocks = new SetClocks();
  const start = clocks.clock.now();
  clocks.wall += hour;
  assert.equal(clocks.clock.now() - start, hour);
  clocks.wall -= hour;
  assert.equal(clocks.clock.now() - start, hour);
  clocks.wall += 2 * hour;
  assert.equal(clocks.clock.now() - start, 2 * hour);
});

test("a timer that sleeps looks up often enough to see the clock set forward", () => {
  const clocks = new SetClocks();
  const sleeps: { readonly ms: number; readonly wake: () => void }[] = [];
  const timers = timersOn(clocks.clock, (ms, wake) => {
    sleeps.push({ ms, wake });
    return { cancel: () => undefined };
  });
  let rung = false;
  timers.at(epochMs(clocks.clock.now() + hour), () => (rung = true));
  const first = sleeps.shift();
  assert.ok(first !== undefined && first.ms <= 60_000);
  clocks.pass(first.ms);
  first.wake();
  assert.equal(rung, false);
  clocks.wall += hour;
  sleeps.shift()?.wake();
  assert.equal(rung, true);
});
