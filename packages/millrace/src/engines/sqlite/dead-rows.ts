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

  /** How many runs wait, parts not counted; those that touch may not be one yet. */
  get waiting(): number {
    return this.#runs.length - this.#parts;
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
   * Removes about `max` positions, those furthest to the front, and answers them as few long runs, at most `maxRuns`. `max` must be
   * more than a row has positions: what is put back touches the rest of its run, and would be all there is the next time, too.
   */
  take(max: number, maxRuns = Number.POSITIVE_INFINITY): DeadRun[] {
    this.#merge();
    const taken: DeadRun[] = [];
    const rest: WaitingRun[] = [];
    let left = max;
    for (const run of this.#runs) {
      if (run.isPart || left <= 0 || taken.length >= maxRuns) {
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

  /** Where the parts begin, from the front. Nothing may be added or forgotten meanwhile. */
  *partStarts(): Generator<number> {
    this.#merge();
    for (const { first, isPart } of this.#runs) if (isPart) yield first;
  }

  has(position: number): boolean {
    this.#merge();
    return isAmong(this.#runs, position);
  }

  /** Forgets the positions of runs, which are in order: there are no rows of them any more. */
  forget(gone: readonly DeadRun[]): void {
    this.#merge();
    const left: WaitingRun[] = [];
    let next = 0;
    for (const run of this.#runs) {
      const end = run.first + run.count;
      let from = run.first;
      for (let row = gone[next]; row !== undefined && row.first < end; row = gone[next]) {
        if (row.first > from) left.push({ first: from, count: row.first - from, isPart: run.isPart });
        from = Math.max(from, row.first + row.count);
        if (from > end) break; // of the runs behind, too
        next += 1;
      }
      if (from === run.first) left.push(run);
      else if (from < end) left.push({ first: from, count: end - from, isPart: run.isPart });
    }
    this.#setRuns(left);
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
    let last: WaitingRun | undefined;
    for (const run of this.#runs) {
      if (last !== undefined && last.first + last.count >= run.first) {
        last.count = Math.max(last.count, run.first + run.count - last.first);
        last.isPart &&= run.isPart;
      } else {
        merged.push(run);
        last = run;
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
