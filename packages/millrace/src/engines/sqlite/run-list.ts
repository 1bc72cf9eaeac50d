// Runs of positions that stand side by side and came in at the same time, in order: a queue's fresh messages, compactly.

import { epochMs } from "../../core/index.ts";
import type { EpochMs } from "../../core/index.ts";
import type { ByteReader, ByteWriter } from "./bytes.ts";

export interface Run {
  readonly first: number;
  readonly count: number;
  /** When these messages came into the queue. */
  readonly storedAt: EpochMs;
}

interface MutableRun {
  first: number;
  count: number;
  readonly storedAt: EpochMs;
}

export class RunList {
  #runs: MutableRun[] = [];
  /** Runs before this one are taken; cut off now and then. */
  #from = 0;

  get isEmpty(): boolean {
    return this.#from >= this.#runs.length;
  }

  /** How many runs there are. */
  get length(): number {
    return this.#runs.length - this.#from;
  }

  get first(): Run | undefined {
    return this.#runs[this.#from];
  }

  /** The last position in here; `undefined` when there is none. */
  get lastPosition(): number | undefined {
    const last = this.#runs.at(-1);
    return last === undefined || this.isEmpty ? undefined : last.first + last.count - 1;
  }

  *[Symbol.iterator](): Generator<Run> {
    for (let index = this.#from; index < this.#runs.length; index += 1) {
      const run = this.#runs[index];
      if (run !== undefined) yield run;
    }
  }

  /** Adds a run behind all others. */
  push(run: Run): void {
    const last = this.#runs.at(-1);
    if (
      last !== undefined &&
      !this.isEmpty &&
      last.first + last.count === run.first &&
      last.storedAt === run.storedAt
    ) {
      last.count += run.count;
    } else {
      this.#runs.push({ ...run });
    }
  }

  /** Removes at most `max` positions from the front run and answers them. */
  take(max: number): Run | undefined {
    const run = this.#runs[this.#from];
    if (run === undefined) return undefined;
    const taken = { first: run.first, count: Math.min(max, run.count), storedAt: run.storedAt };
    run.first += taken.count;
    run.count -= taken.count;
    if (run.count === 0) {
      this.#from += 1;
      if (this.#from > 64 && this.#from * 2 > this.#runs.length) {
        this.#runs = this.#runs.slice(this.#from);
        this.#from = 0;
      }
    }
    return taken;
  }

  /** Removes every position before `position`. */
  dropBefore(position: number): void {
    for (let run = this.first; run !== undefined && run.first < position; run = this.first) {
      this.take(position - run.first);
    }
  }

  /** Removes all but the first `count` runs and answers them. */
  cutBehind(count: number): Run[] {
    return this.#runs.splice(this.#from + count);
  }

  has(position: number): boolean {
    let low = this.#from;
    let high = this.#runs.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const run = this.#runs[middle];
      if (run === undefined || run.first + run.count > position) high = middle;
      else low = middle + 1;
    }
    const run = this.#runs[low];
    return run !== undefined && run.first <= position;
  }
}

/** Gaps between runs rather than positions: a run takes three or four bytes. */
export function writeRuns(writer: ByteWriter, runs: readonly Run[]): void {
  writer.number(runs.length);
  let end = 0;
  let storedAt = 0;
  for (const run of runs) {
    writer
      .signed(run.first - end)
      .number(run.count)
      .signed(run.storedAt - storedAt);
    end = run.first + run.count;
    storedAt = run.storedAt;
  }
}

export function readRuns(reader: ByteReader): Run[] {
  const runs: Run[] = [];
  let end = 0;
  let storedAt = 0;
  for (let left = reader.number(); left > 0; left -= 1) {
    const first = end + reader.signed();
    const count = reader.number();
    storedAt += reader.signed();
    runs.push({ first, count, storedAt: epochMs(storedAt) });
    end = first + count;
  }
  return runs;
}
