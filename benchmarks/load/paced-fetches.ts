// What the way to a server and back costs a program that uses `fetch` at a steady pace.

import type { HistogramData } from "../../packages/millrace/src/cli/bench/histogram.ts";
import { atPace } from "./at-pace.ts";
import type { Pace } from "./at-pace.ts";

export interface PacedFetchesPlan extends Pace {
  readonly url: string;
  readonly body: string;
}

/** Answers how long a request with its answer took. */
export async function pacedFetches({ url, body, ...pace }: PacedFetchesPlan): Promise<HistogramData> {
  const latency = await atPace(pace, async () => {
    const response = await fetch(url, { method: "POST", body });
    await response.text();
  });
  return latency.toJSON();
}
