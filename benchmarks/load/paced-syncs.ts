// What a sync costs a program that syncs now and then: pages of a file that has its length already, written over and synced at a
// steady pace. Nothing that waits for the disk can be faster at that pace, nor wait less at the worst.

import { closeSync, fdatasyncSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { Histogram } from "../../packages/millrace/src/cli/bench/histogram.ts";
import type { HistogramData } from "../../packages/millrace/src/cli/bench/histogram.ts";

export interface PacedSyncsPlan {
  /** Gets a file, which goes again. */
  readonly folder: string;
  readonly perSecond: number;
  readonly seconds: number;
}

export interface PacedSyncsResult {
  readonly syncs: number;
  readonly ms: number;
  /** Of one write with its sync, from when it was due. */
  readonly latency: HistogramData;
}

const page = Buffer.alloc(4_096, "x");
/** Of the file. */
const pages = 1_000;

export async function pacedSyncs({ folder, perSecond, seconds }: PacedSyncsPlan): Promise<PacedSyncsResult> {
  const path = join(folder, `paced-syncs-${process.pid}`);
  const file = openSync(path, "w", 0o600);
  try {
    for (let place = 0; place < pages; place += 1) writeSync(file, page);
    fdatasyncSync(file);
    const latency = new Histogram();
    const startedAt = performance.now();
    const count = Math.max(1, Math.round(perSecond * seconds));
    for (let done = 0; done < count; done += 1) {
      const dueAt = startedAt + (done / perSecond) * 1_000;
      const waitMs = dueAt - performance.now();
      if (waitMs > 0) await delay(waitMs);
      // What came late is counted from when it was due: a sync that takes long holds up all that come meanwhile.
      const before = waitMs > 0 ? performance.now() : dueAt;
      writeSync(file, page, 0, page.length, (done % pages) * page.length);
      fdatasyncSync(file);
      latency.record(performance.now() - before);
    }
    return { syncs: count, ms: performance.now() - startedAt, latency: latency.toJSON() };
  } finally {
    closeSync(file);
    rmSync(path, { force: true });
  }
}
