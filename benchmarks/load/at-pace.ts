// Work at a steady pace, one piece after the other. What comes late is counted from when it was due: a piece that takes long holds up
// all that come meanwhile.

import { setTimeout as delay } from "node:timers/promises";
import { Histogram } from "../../packages/millrace/src/cli/bench/histogram.ts";

export interface Pace {
  readonly perSecond: number;
  readonly seconds: number;
}

/** `work` gets its number, from 0. Answers how long each piece took. */
export async function atPace({ perSecond, seconds }: Pace, work: (number: number) => unknown): Promise<Histogram> {
  const latency = new Histogram();
  const startedAt = performance.now();
  const count = Math.max(1, Math.round(perSecond * seconds));
  for (let number = 0; number < count; number += 1) {
    const dueAt = startedAt + (number / perSecond) * 1_000;
    const waitMs = dueAt - performance.now();
    if (waitMs > 0) await delay(waitMs);
    const before = waitMs > 0 ? performance.now() : dueAt;
    await work(number);
    latency.record(performance.now() - before);
  }
  return latency;
}
