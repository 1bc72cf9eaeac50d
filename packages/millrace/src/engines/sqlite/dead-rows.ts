// Positions in the log that nobody needs any more, as runs, waiting for their rows to be deleted off the commit path.
//
// A row that holds other messages too cannot be deleted: such runs are parts, which wait until they have become longer.

export interface DeadRun {
  readonly first: number;
  readonly count: number;
}

interface WaitingRun {
  first: number;
  count: number;
  /** It was tried, and is of rows that others still need. */
  isPart: boolean;
}

export class DeadRows {
  #runs: WaitingRun[] = [];
  #count = 0;
  #parts = 0;
  #isMerged = true;
  /** Cannot be deleted. */
  readonly #kept: DeadRun[] = [];

  /** How many positions wait, parts not counted. */
  get count(): number {
    return this.#count;
  }

  /** How many runs wait for more. */
  get parts(): number {
    return this.#parts;
  }

  add(runs: readonly DeadRun[]): void {
    for (const { first, count } of runs) {
      this.#runs.push({ first, count, isPart: false });
      this.#count += count;
      this.#isMerged = false;
    }
  }

  /**
   * Removes about `max` positions, those furthest to the front, and answers them as few long runs. `max` must be more than a row
   * has positions: what is put back touches the rest of its run, and would be all there is the next time, too.
   */
  take(max: number): DeadRun[] {
    this.#merge();
    const taken: DeadRun[] = [];
    const rest: WaitingRun[] = [];
    let left = max;
    for (const run of this.#runs) {
      if (run.isPart || left <= 0) {
        rest.push(run);
      } else if (run.count > left) {
        taken.push({ first: run.first, count: left });
        rest.push({ first: run.first + left, count: run.count - left, isPart: false });
        left = 0;
      } else {
        taken.push(run);
        left -= run.count;
      }
    }
    this.#runs = rest;
    this.#count -= max - left;
    return taken;
  }

  /** Runs that were taken, of rows that others still need. */
  putBack(runs: readonly DeadRun[]): void {
    for (const { first, count } of runs) {
      this.#runs.push({ first, count, isPart: true });
      this.#parts += 1;
      this.#isMerged = false;
    }
  }

  /** Where at most `max` of the parts begin, those furthest to the front. */
  firstParts(max: number): readonly number[] {
    this.#merge();
    return this.#runs
      .filter(({ isPart }) => isPart)
      .slice(0, max)
      .map(({ first }) => first);
  }

  has(position: number): boolean {
    this.#merge();
    return isAmong(this.#runs, position);
  }

  /** Forgets the positions of a run: there are no rows of them any more. */
  forget({ first, count }: DeadRun): void {
    const end = first + count;
    this.#setRuns(
      this.#runs.flatMap((run): WaitingRun[] => {
        const runEnd = run.first + run.count;
        if (runEnd <= first || run.first >= end) return [run];
        const before = { first: run.first, count: first - run.first, isPart: run.isPart };
        const behind = { first: end, count: runEnd - end, isPart: run.isPart };
        return [before, behind].filter((part) => part.count > 0);
      }),
    );
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

  /** Runs that touch become one, which is a part only when both were. */
  #merge(): void {
    if (this.#isMerged) return;
    this.#isMerged = true;
    this.#runs.sort((a, b) => a.first - b.first);
    const merged: WaitingRun[] = [];
    for (const { first, count, isPart } of this.#runs) {
      const last = merged.at(-1);
      if (last !== undefined && last.first + last.count >= first) {
        last.count = Math.max(last.count, first + count - last.first);
        last.isPart &&= isPart;
      } else {
        merged.push({ first, count, isPart });
      }
    }
    this.#setRuns(merged);
  }

  #setRuns(runs: WaitingRun[]): void {
    this.#runs = runs;
    this.#count = 0;
    this.#parts = 0;
    for (const { count, isPart } of runs) {
      if (isPart) this.#parts += 1;
      else this.#count += count;
    }
  }
}

/** Whether a position lies in one of the runs, which are in order. */
export function isAmong(runs: readonly DeadRun[], position: number): boolean {
  let low = 0;
  let high = runs.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const run = runs[middle];
    if (run === undefined || run.first + run.count > position) high = middle;
    else low = middle + 1;
  }
  const run = runs[low];
  return run !== undefined && run.first <= position;
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
