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
const mostBytes = 128_000_000;

/** What was appended, from its creation on. */
export class AppendCount {
  /** A group's bytes. */
  readonly records: Buffer;
  readonly #plan: AppendPlan;
  readonly #latency = new Histogram();
  readonly #startedAt = performance.now();
  #now = this.#startedAt;
  #written = 0;

  constructor(plan: AppendPlan) {
    this.#plan = plan;
    this.records = Buffer.alloc(plan.bytes * plan.group, "x");
  }

  /** For as long as the plan says, or until the file is large enough. */
  get isOver(): boolean {
    const { bytes, seconds } = this.#plan;
    return this.#now - this.#startedAt >= seconds * 1_000 || this.#written * bytes >= mostBytes;
  }

  /** One more group is on disk. */
  add(): void {
    const before = this.#now;
    this.#now = performance.now();
    this.#written += this.#plan.group;
    this.#latency.record(this.#now - before);
  }

  result(): AppendResult {
    return { records: this.#written, ms: this.#now - this.#startedAt, latency: this.#latency.toJSON() };
  }
}

/** Holds its thread up until it is done. */
export function appendToFile(plan: AppendPlan): AppendResult {
  const path = join(plan.folder, `raw-append-${process.pid}`);
  const file = openSync(path, "w", 0o600);
  try {
    const count = new AppendCount(plan);
    while (!count.isOver) {
      writeSync(file, count.records);
      fdatasyncSync(file);
      count.add();
    }
    return count.result();
  } finally {
    closeSync(file);
    rmSync(path, { force: true });
  }
}
