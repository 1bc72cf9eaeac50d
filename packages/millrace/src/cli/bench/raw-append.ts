// What the disk itself can do: records appended to a file and synced in groups, by nothing but system calls.

import { closeSync, fdatasyncSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { Histogram } from "./histogram.ts";
import type { HistogramData } from "./histogram.ts";

export interface AppendPlan {
  /** Gets a file, which goes again. */
  readonly folder: string;
  /** Of one record. */
  readonly bytes: number;
  /** Records written with one call and synced together. */
  readonly group: number;
  readonly seconds: number;
}

export interface AppendResult {
  readonly records: number;
  readonly ms: number;
  /** Of one write with its sync. */
  readonly latency: HistogramData;
}

/**
 * Bytes of the file at most. A fast disk takes gigabytes in a few seconds, and is busy with giving them back long after the file is
 * deleted, while something else is measured.
 */
export const mostBytes = 128_000_000;

/** Holds its thread up for as long as the plan says, or until the file is large enough. */
export function appendToFile({ folder, bytes, group, seconds }: AppendPlan): AppendResult {
  const path = join(folder, `raw-append-${process.pid}`);
  const file = openSync(path, "w", 0o600);
  try {
    const records = Buffer.alloc(bytes * group, "x");
    const latency = new Histogram();
    const startedAt = performance.now();
    let now = startedAt;
    let written = 0;
    while (now - startedAt < seconds * 1_000 && written * bytes < mostBytes) {
      writeSync(file, records);
      fdatasyncSync(file);
      written += group;
      const before = now;
      now = performance.now();
      latency.record(now - before);
    }
    return { records: written, ms: now - startedAt, latency: latency.toJSON() };
  } finally {
    closeSync(file);
    rmSync(path, { force: true });
  }
}
