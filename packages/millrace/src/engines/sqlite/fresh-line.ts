// A queue's fresh messages, those that are visible and were never leased, in order of arrival. Memory stays bounded whatever
// their number.
//
// In order: `#front` (in memory, taken from first), then saved runs on disk that are not in memory (only while `#hasMoreSaved`), then
// `#tail` (in memory, the newest). Everything up to `#savedThrough` is in the `runs` table or taken; the rest is in notes. A fold
// saves what is not saved and lets go of what memory need not hold. `#head` is the position behind the last one taken; saved
// runs before it are leftovers.

import type { DatabaseSync } from "node:sqlite";
import { MillraceError } from "../../core/index.ts";
import { ByteReader, ByteWriter } from "./bytes.ts";
import { readRuns, RunList, writeRuns } from "./run-list.ts";
import type { Run } from "./run-list.ts";
import { Query } from "./sql.ts";
import { assertWhole, sumOf } from "./sums.ts";

/** Runs in one row of the table: about 2 KB. */
const runsPerRow = 512;

export class RunsTable {
  readonly #insert: Query;
  readonly #next: Query<readonly [last: number, data: Uint8Array, sum: number]>;
  readonly #deleteBefore: Query;
  readonly #insertHole: Query;
  readonly #holes: Query<readonly [queue: number, position: number, sum: number]>;
  readonly #deleteHolesBefore: Query;
  readonly #writer = new ByteWriter();

  constructor(database: DatabaseSync) {
    this.#insert = new Query(database, "INSERT INTO runs (queue, last, data, sum) VALUES (?, ?, ?, ?)");
    this.#next = new Query(
      database,
      "SELECT last, data, sum FROM runs WHERE queue = ? AND last > ? ORDER BY last LIMIT 1",
    );
    this.#deleteBefore = new Query(database, "DELETE FROM runs WHERE queue = ? AND last < ?");
    this.#insertHole = new Query(database, "INSERT INTO holes (queue, position, sum) VALUES (?, ?, ?)");
    this.#holes = new Query(database, "SELECT queue, position, sum FROM holes");
    this.#deleteHolesBefore = new Query(database, "DELETE FROM holes WHERE queue = ? AND position < ?");
  }

  save(queue: number, runs: readonly Run[]): void {
    for (let from = 0; from < runs.length; from += runsPerRow) {
      const row = runs.slice(from, from + runsPerRow);
      const last = row.at(-1);
      if (last === undefined) return;
      writeRuns(this.#writer.clear(), row);
      const position = last.first + last.count - 1;
      const data = this.#writer.view();
      this.#insert.run(queue, position, data, sumOf(queue, position, data));
    }
  }

  /** The first row that holds positions behind `position`. Throws `DATA_DAMAGED`. */
  next(queue: number, position: number): readonly Run[] | undefined {
    const row = this.#next.first(queue, position);
    if (row === undefined) return undefined;
    const [last, data, sum] = row;
    assertWhole("Where fresh messages stand", sum, queue, last, data);
    return readRuns(new ByteReader(data));
  }

  deleteBefore(queue: number, position: number): void {
    this.#deleteBefore.run(queue, position);
  }

  addHole(queue: number, position: number): void {
    this.#insertHole.run(queue, position, sumOf(queue, position));
  }

  holes(): readonly (readonly [queue: number, position: number])[] {
    return this.#holes.all().map(([queue, position, sum]) => {
      assertWhole("Which messages were purged", sum, queue, position);
      return [queue, position];
    });
  }

  deleteHolesBefore(queue: number, position: number): void {
    this.#deleteHolesBefore.run(queue, position);
  }
}

export class FreshLine {
  readonly #table: RunsTable;
  readonly #queue: number;
  readonly #front = new RunList();
  #tail = new RunList();
  #head: number;
  #savedThrough: number;
  /** The last position that is, or was, in `#front`. */
  #loadedThrough: number;
  #hasMoreSaved: boolean;
  /** Whether the table may hold rows that lie before `#head`. */
  #hasLeftovers: boolean;
  readonly #holes = new Set<number>();
  /** How many messages, holes not counted. */
  #count: number;

  constructor(
    table: RunsTable,
    queue: number,
    saved: { readonly head: number; readonly count: number; readonly through: number },
  ) {
    this.#table = table;
    this.#queue = queue;
    this.#head = saved.head;
    this.#count = saved.count;
    this.#savedThrough = saved.through;
    this.#loadedThrough = saved.head - 1;
    this.#hasMoreSaved = saved.through >= saved.head;
    this.#hasLeftovers = this.#hasMoreSaved;
  }

  get count(): number {
    return this.#count;
  }

  get head(): number {
    return this.#head;
  }

  append(run: Run): void {
    this.#count += run.count;
    this.#add(run);
  }

  /** The longest waiting run; it begins with a message, not with a hole. */
  first(): Run | undefined {
    if (this.#count === 0) return undefined;
    for (;;) {
      const run = this.#firstLoaded();
      if (run === undefined || !this.#holes.delete(run.first)) return run;
      this.#skip(1);
    }
  }

  /** Takes at most `max` messages that stand side by side from the front. */
  take(max: number): Run | undefined {
    const run = this.first();
    if (run === undefined) return undefined;
    const { first, storedAt } = run;
    let count = Math.min(max, run.count);
    if (this.#holes.size > 0) {
      for (let index = 1; index < count; index += 1) if (this.#holes.has(first + index)) count = index;
    }
    this.#skip(count);
    this.#count -= count;
    return { first, count, storedAt };
  }

  /** Deletes one message from the line. It must be in there: see `has`. */
  remove(position: number): void {
    this.#holes.add(position);
    this.#table.addHole(this.#queue, position);
    this.#hasLeftovers = true;
    this.#count -= 1;
  }

  has(position: number): boolean {
    if (position < this.#head || this.#holes.has(position)) return false;
    if (this.#front.has(position) || this.#tail.has(position)) return true;
    if (!this.#hasMoreSaved || position <= this.#loadedThrough || position > this.#savedThrough) return false;
    const runs = this.#table.next(this.#queue, position - 1) ?? [];
    return runs.some(({ first, count }) => first <= position && position < first + count);
  }

  /** Positions behind `after`, in order, without taking them. */
  *positions(after: number): Generator<number> {
    yield* this.#among(this.#front, after);
    if (this.#hasMoreSaved) {
      let behind = Math.max(after, this.#loadedThrough);
      for (let runs = this.#table.next(this.#queue, behind); runs !== undefined;) {
        yield* this.#among(runs, behind);
        const last = runs.at(-1);
        if (last === undefined) break;
        behind = last.first + last.count - 1;
        runs = this.#table.next(this.#queue, behind);
      }
    }
    yield* this.#among(this.#tail, after);
  }

  /** Puts on disk what only notes have, and forgets all but the first `keep` runs. Part of a fold. */
  save(position: number, keep: number): void {
    const unsaved = [...this.#front, ...this.#tail].filter(
      ({ first, count }) => first + count > this.#savedThrough + 1,
    );
    this.#table.save(
      this.#queue,
      unsaved.map((run) => partBehind(run, this.#savedThrough)),
    );
    if (unsaved.length > 0) this.#hasLeftovers = true;
    this.#savedThrough = position;
    if (this.#hasLeftovers) {
      this.#table.deleteBefore(this.#queue, this.#head);
      this.#table.deleteHolesBefore(this.#queue, this.#head);
      this.#hasLeftovers = this.#count > 0;
    }
    this.#tail = new RunList(); // not empty only while more is saved, and now it is part of that
    const [forgotten] = this.#front.cutBehind(keep);
    if (forgotten === undefined) return;
    this.#loadedThrough = forgotten.first - 1;
    this.#hasMoreSaved = true;
  }

  /** Replaying a note: these came in. The count comes with `replayState`. */
  replayAppended(run: Run): void {
    this.#add(run);
  }

  /** Replaying a note: this is how the line stood. */
  replayState(head: number, count: number): void {
    this.#head = head;
    this.#count = count;
    this.#loadedThrough = Math.max(this.#loadedThrough, head - 1);
    this.#front.dropBefore(head);
    this.#tail.dropBefore(head);
  }

  replayHole(position: number): void {
    this.#holes.add(position);
    this.#hasLeftovers = true;
  }

  /** Throws `DATA_DAMAGED` when what is stored of the line is not as many messages as there are. Reads all of it. */
  assertComplete(): void {
    let found = 0;
    const add = (runs: Iterable<Run>): void => {
      for (const run of runs) found += Math.max(0, run.first + run.count - Math.max(run.first, this.#head));
    };
    add(this.#front);
    if (this.#hasMoreSaved) {
      for (let behind = this.#loadedThrough; ;) {
        const runs = this.#table.next(this.#queue, behind);
        const last = runs?.at(-1);
        if (runs === undefined || last === undefined) break;
        const from = behind;
        add(runs.map((run) => partBehind(run, from)).filter(({ count }) => count > 0));
        behind = last.first + last.count - 1;
      }
    }
    add(this.#tail);
    for (const hole of this.#holes) if (hole >= this.#head) found -= 1;
    if (found === this.#count) return;
    throw new MillraceError("DATA_DAMAGED", `Of ${this.#count} fresh messages of a queue ${found} are named`);
  }

  *#among(runs: Iterable<Run>, after: number): Generator<number> {
    for (const { first, count } of runs) {
      for (let position = Math.max(first, after + 1); position < first + count; position += 1) {
        if (!this.#holes.has(position)) yield position;
      }
    }
  }

  #add(run: Run): void {
    if (this.#hasMoreSaved) {
      this.#tail.push(run);
      return;
    }
    this.#front.push(run);
    this.#loadedThrough = run.first + run.count - 1;
  }

  #firstLoaded(): Run | undefined {
    while (this.#front.isEmpty && this.#hasMoreSaved) {
      const runs = this.#table.next(this.#queue, this.#loadedThrough);
      if (runs === undefined) {
        this.#hasMoreSaved = false;
        for (const run of this.#tail) this.#add(run);
        this.#tail = new RunList();
        break;
      }
      for (const run of runs) {
        if (run.first + run.count - 1 <= this.#loadedThrough) continue;
        this.#front.push(partBehind(run, this.#loadedThrough));
      }
      this.#loadedThrough = this.#front.lastPosition ?? this.#loadedThrough;
    }
    return this.#front.first;
  }

  #skip(count: number): void {
    const taken = this.#front.take(count);
    if (taken !== undefined) this.#head = taken.first + taken.count;
  }
}

/** The part of a run that lies behind a position. */
function partBehind(run: Run, position: number): Run {
  const skipped = Math.max(0, position + 1 - run.first);
  return { first: run.first + skipped, count: run.count - skipped, storedAt: run.storedAt };
}
