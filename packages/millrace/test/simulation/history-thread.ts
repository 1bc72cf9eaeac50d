// Runs the histories it is given, up to the first that breaks a law.

import { parentPort } from "node:worker_threads";
import { generate } from "./generate.ts";
import type { Stretch } from "./run-histories.ts";
import { simulate } from "./simulation.ts";
import type { Statistics } from "./simulation.ts";

parentPort?.on("message", ({ first, count }: { readonly first: number; readonly count: number }) => {
  void run(first, count).then((stretch) => parentPort?.postMessage(stretch, []));
});

async function run(first: number, count: number): Promise<Stretch> {
  const totals: Statistics = {};
  for (let seed = first; seed < first + count; seed += 1) {
    const { violation, statistics } = await simulate(generate(seed));
    for (const [what, times] of Object.entries(statistics)) totals[what] = (totals[what] ?? 0) + times;
    if (violation !== undefined) return { done: seed - first + 1, totals, broken: seed };
  }
  return { done: count, totals, broken: undefined };
}
