// What a sync costs a program that syncs now and then: pages of a file that has its length already, written over and synced at a
// steady pace. Nothing that waits for the disk can be faster at that pace, nor wait less at the worst.

import { closeSync, fdatasyncSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { HistogramData } from "../../packages/millrace/src/cli/bench/histogram.ts";
import { atPace } from "./at-pace.ts";
import type { Pace } from "./at-pace.ts";

export interface PacedSyncsPlan extends Pace {
  /** Gets a file, which goes again. */
  readonly folder: string;
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

export async function pacedSyncs({ folder, ...pace }: PacedSyncsPlan): Promise<PacedSyncsResult> {
  const path = join(folder, `paced-syncs-${process.pid}`);
  const file = openSync(path, "w", 0o600);
  try {
    for (let place = 0; place < pages; place += 1) writeSync(file, page);
    fdatasyncSync(file);
    const startedAt = performance.now();
    const latency = await atPace(pace, (number) => {
      writeSync(file, page, 0, page.length, (number % pages) * page.length);
      fdatasyncSync(file);
    });
    return { syncs: latency.count, ms: performance.now() - startedAt, latency: latency.toJSON() };
  } finally {
    closeSync(file);
    rmSync(path, { force: true });
  }
}
