// The real clock, timers and randomness behind the core's ports.

import { randomFillSync } from "node:crypto";
import { epochMs, milliseconds } from "./core/index.ts";
import type { Clock, EpochMs, Milliseconds, Random, Timers } from "./core/index.ts";

/**
 * How long a timer sleeps before it looks at the clock again: the clock may be set forward meanwhile. Also far below the
 * 2^31 - 1 ms beyond which Node fires at once.
 */
const longestSleep = milliseconds(30_000);

/**
 * Follows the wall clock forward and never goes back: when the wall clock is set back, time goes on at its usual pace. So
 * neither a batch window nor a wait nor a lease of a running server is an hour longer for it. A restart goes by the wall clock.
 */
export function steadyClock(wall: () => number, elapsed: () => number): Clock {
  let offset = wall() - elapsed();
  return {
    now() {
      const since = elapsed();
      offset = Math.max(offset, wall() - since);
      return epochMs(Math.floor(since + offset));
    },
  };
}

/** Timers that ring by a clock, on sleeps of `sleep`, which may end early but not late. */
export function timersOn(clock: Clock, sleep: (span: Milliseconds, wake: () => void) => { cancel(): void }): Timers {
  return {
    at(at: EpochMs, callback: () => void): { cancel(): void } {
      let sleeping: { cancel(): void };
      const fallAsleep = (): void => {
        const ms = Math.max(0, Math.min(at - clock.now(), longestSleep));
        sleeping = sleep(milliseconds(ms), () => (clock.now() < at ? fallAsleep() : callback()));
      };
      fallAsleep();
      return { cancel: () => sleeping.cancel() };
    },
  };
}

export const systemClock: Clock = steadyClock(Date.now, () => performance.now());

export const systemRandom: Random = { bytes: (count) => randomFillSync(new Uint8Array(count)) };

export const systemTimers: Timers = timersOn(systemClock, (span, wake) => {
  const timeout = setTimeout(wake, span);
  return { cancel: () => clearTimeout(timeout) };
});
