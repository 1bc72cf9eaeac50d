// The real clock, timers and randomness behind the core's ports.

import { randomFillSync } from "node:crypto";
import { epochMs } from "./core/index.ts";
import type { Clock, EpochMs, Random, Timers } from "./core/index.ts";

/** Node caps a timer at 2^31 - 1 ms and fires it at once beyond that. */
const longestTimerMs = 2_147_483_647;

export const systemClock: Clock = { now: () => epochMs(Date.now()) };

export const systemRandom: Random = { bytes: (count) => randomFillSync(new Uint8Array(count)) };

export const systemTimers: Timers = {
  at(at: EpochMs, callback: () => void): { cancel(): void } {
    let timer: NodeJS.Timeout | undefined;
    const arm = (): void => {
      const ms = Math.max(0, at - Date.now());
      timer = setTimeout(() => (Date.now() < at ? arm() : callback()), Math.min(ms, longestTimerMs));
    };
    arm();
    return { cancel: () => clearTimeout(timer) };
  },
};
