// Rows of the log that nobody needs any more, as runs of positions, waiting to be deleted off the commit path.

export interface DeadRun {
  readonly first: number;
  readonly count: number;
}

export class DeadRows {
  #runs: DeadRun[] = [];
  #count = 0;
  #isSorted = true;
  /** Cannot be deleted. */
  readonly #kept: DeadRun[] = [];

  /** How many rows wait. */
  get count(): number {
    return this.#count;
  }

  add(runs: readonly DeadRun[]): void {
    for (const run of runs) {
      const last = this.#runs.at(-1);
      if (last !== undefined && run.first < last.first + last.count) this.#isSorted = false;
      this.#runs.push(run);
      this.#count += run.count;
    }
  }

  /** Removes about `max` rows, those furthest to the front, and answers them as few long runs. */
  take(max: number): DeadRun[] {
    this.#merge();
    const taken: DeadRun[] = [];
    let left = max;
    let used = 0;
    for (const run of this.#runs) {
      if (left <= 0) break;
      if (run.count > left) {
        taken.push({ first: run.first, count: left });
        this.#runs[used] = { first: run.first + left, count: run.count - left };
        left = 0;
        break;
      }
      taken.push(run);
      left -= run.count;
      used += 1;
    }
    this.#runs = this.#runs.slice(used);
    this.#count -= max - left;
    return taken;
  }

  /** Rows that cannot be deleted, and are not tried again. */
  keep(run: DeadRun): void {
    this.#kept.push(run);
  }

  /** All of them, in few long runs. */
  runs(): readonly DeadRun[] {
    this.#merge();
    return this.#kept.length === 0 ? this.#runs : [...this.#runs, ...this.#kept].toSorted((a, b) => a.first - b.first);
  }

  #merge(): void {
    if (!this.#isSorted) this.#runs.sort((a, b) => a.first - b.first);
    this.#isSorted = true;
    const merged: { first: number; count: number }[] = [];
    for (const { first, count } of this.#runs) {
      const last = merged.at(-1);
      if (last !== undefined && last.first + last.count >= first) {
        last.count = Math.max(last.count, first + count - last.first);
      } else {
        merged.push({ first, count });
      }
    }
    this.#runs = merged;
    this.#count = merged.reduce((sum, { count }) => sum + count, 0);
  }
}

/** Collects positions into runs as they come. */
export class DeadRunCollector {
  runs: { first: number; count: number }[] = [];

  add(first: number, count = 1): void {
    const last = this.runs.at(-1);
    if (last !== undefined && last.first + last.count === first) last.count += count;
    else this.runs.push({ first, count });
  }

  /** What was collected; starts over. */
  flush(): readonly DeadRun[] {
    const { runs } = this;
    this.runs = [];
    return runs;
  }
}
