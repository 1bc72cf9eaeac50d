// What the way to a server and back costs a program that uses `fetch` at a steady pace.

import { setTimeout as delay } from "node:timers/promises";
import { Histogram } from "../../packages/millrace/src/cli/bench/histogram.ts";
import type { HistogramData } from "../../packages/millrace/src/cli/bench/histogram.ts";

export interface PacedFetchesPlan {
  readonly url: string;
  readonly body: string;
  readonly perSecond: number;
  readonly seconds: number;
}

/** Answers how long a request with its answer took. */
export async function pacedFetches({ url, body, perSecond, seconds }: PacedFetchesPlan): Promise<HistogramData> {
  const latency = new Histogram();
  const startedAt = performance.now();
  const count = Math.max(1, Math.round(perSecond * seconds));
  for (let done = 0; done < count; done += 1) {
    const waitMs = startedAt + (done / perSecond) * 1_000 - performance.now();
    if (waitMs > 0) await delay(waitMs);
    const before = performance.now();
    const response = await fetch(url, { method: "POST", body });
    await response.text();
    latency.record(performance.now() - before);
  }
  return latency.toJSON();
}
