// Histories from a seed on, spread over threads: each takes the next few seeds whenever it is done with the last.

import { once } from "node:events";
import { Worker } from "node:worker_threads";
import type { Statistics } from "./simulation.ts";

/** What a thread tells of the seeds it was given. */
export interface Stretch {
  readonly done: number;
  readonly totals: Statistics;
  /** The seed that broke a law, with which the stretch ended. */
  readonly broken: number | undefined;
}

export interface HistoriesOptions {
  readonly first: number;
  readonly most: number;
  readonly threads: number;
  /** Whether to go on; asked before each stretch. */
  readonly goOn: () => boolean;
  readonly told: (done: number) => void;
}

/** Seeds a thread gets at once: few, so that all threads end together. */
const stretchLength = 10;

/** Runs until all are done, time is up or a law is broken. `broken` is the least seed that broke one. */
export async function runHistories({ first, most, threads, goOn, told }: HistoriesOptions): Promise<Stretch> {
  const totals: Statistics = {};
  const broken: number[] = [];
  let given = 0;
  let done = 0;

  async function work(): Promise<void> {
    const thread = new Worker(new URL("history-thread.ts", import.meta.url));
    try {
      while (given < most && goOn() && broken.length === 0) {
        const count = Math.min(stretchLength, most - given);
        const answer = once(thread, "message");
        thread.postMessage({ first: first + given, count }, []);
        given += count;
        const [stretch] = (await answer) as [Stretch];
        done += stretch.done;
        for (const [what, times] of Object.entries(stretch.totals)) totals[what] = (totals[what] ?? 0) + times;
        if (stretch.broken !== undefined) broken.push(stretch.broken);
        told(done);
      }
    } finally {
      await thread.terminate();
    }
  }

  await Promise.all(Array.from({ length: threads }, work));
  return { done, totals, broken: broken.length > 0 ? Math.min(...broken) : undefined };
}
