// A queue's messages that are delivered later: delayed, retried, given back. On disk in order of due time; here only counters and
// a cursor, so that 200,000 delayed messages are nothing special.
//
// `#due` counts the rows up to the cursor, all of them due. The cursor follows the clock, at most `sliceRows` rows a call, so every row
// is counted once and no call does more than that: `ready` is exact up to `sliceRows` and may be too small beyond, never too large.

import type { DatabaseSync } from "node:sqlite";
import { epochMs, MillraceError } from "../../core/index.ts";
import type { EpochMs } from "../../core/index.ts";
import { Query } from "./sql.ts";

export interface LaterMessage {
  readonly position: number;
  readonly dueAt: EpochMs;
  /** Deliveries so far. */
  readonly attempts: number;
}

/** A consumer's batch has at most 100 messages: whoever decides by `ready` needs no more exactness than this. */
const sliceRows = 1_000;
const forever = Number.MAX_SAFE_INTEGER;

/** When a message is due that is set aside, for it is damaged: never. Whoever looks leaves it out. */
export const setAsideAt = epochMs(8_000_000_000_000);

const sumModulus = 2_147_483_647;
/** The checksum of a row. A prime modulus notices each flipped bit, and SQLite can check all rows at once (100 ns a row). */
export const laterSumSql = `(queue * 8191 + due_ms * 509 + position * 127 + attempts * 31 + 1) % ${sumModulus}`;

function laterSum(queue: number, dueMs: number, position: number, attempts: number): number {
  return (queue * 8_191 + dueMs * 509 + position * 127 + attempts * 31 + 1) % sumModulus;
}

type LaterRow = readonly [position: number, dueMs: number, attempts: number, sum: number];

export class LaterTable {
  readonly insert: Query;
  readonly delete: Query;
  readonly deleteThrough: Query;
  readonly due: Query<LaterRow>;
  readonly setAside: Query<readonly [count: number]>;
  readonly checked: Query<readonly [count: number, wrong: number, indexed: number]>;
  readonly counts: Query<readonly [queue: number, count: number]>;
  readonly firstDue: Query<readonly [dueMs: number]>;
  readonly firstDueAfter: Query<readonly [dueMs: number]>;
  readonly countDue: Query<readonly [count: number]>;
  readonly skip: Query<readonly [dueMs: number, position: number]>;
  readonly find: Query<LaterRow>;
  readonly behind: Query<LaterRow>;
  readonly waitingBehind: Query<LaterRow>;

  constructor(database: DatabaseSync) {
    const query = (sql: string): Query<never> => new Query(database, sql);
    this.insert = query("INSERT INTO later (queue, due_ms, position, attempts, sum) VALUES (?, ?, ?, ?, ?)");
    this.delete = query("DELETE FROM later WHERE queue = ? AND due_ms = ? AND position = ?");
    this.deleteThrough = query("DELETE FROM later WHERE queue = ? AND (due_ms, position) <= (?, ?)");
    this.due = query(
      "SELECT position, due_ms, attempts, sum FROM later WHERE queue = ? AND due_ms <= ? ORDER BY due_ms, position LIMIT ?",
    );
    this.setAside = query(`SELECT count(*) FROM later WHERE queue = ? AND due_ms = ${setAsideAt}`);
    this.checked = query(
      `SELECT count(*), count(*) FILTER (WHERE sum <> ${laterSumSql}),
              (SELECT count(*) FROM later AS by_position INDEXED BY later_by_position
               WHERE EXISTS (SELECT 1 FROM later AS there NOT INDEXED WHERE there.queue = by_position.queue
                             AND there.due_ms = by_position.due_ms AND there.position = by_position.position))
       FROM later NOT INDEXED`,
    );
    this.counts = query("SELECT queue, count(*) FROM later GROUP BY queue");
    this.firstDue = query("SELECT due_ms FROM later WHERE queue = ? ORDER BY due_ms LIMIT 1");
    this.firstDueAfter = query(
      `SELECT due_ms FROM later WHERE queue = ? AND due_ms > ? AND due_ms < ${setAsideAt} ORDER BY due_ms LIMIT 1`,
    );
    this.countDue = query(
      `SELECT count(*) FROM (
         SELECT 1 FROM later WHERE queue = ? AND (due_ms, position) > (?, ?) AND due_ms <= ? LIMIT ${sliceRows})`,
    );
    this.skip = query(
      `SELECT due_ms, position FROM later WHERE queue = ? AND (due_ms, position) > (?, ?)
       ORDER BY due_ms, position LIMIT 1 OFFSET ${sliceRows - 1}`,
    );
    this.find = query("SELECT position, due_ms, attempts, sum FROM later WHERE queue = ? AND position = ?");
    this.waitingBehind = query(
      `SELECT position, due_ms, attempts, sum FROM later WHERE queue = ? AND position > ? AND due_ms < ${setAsideAt}
       ORDER BY position LIMIT ?`,
    );
    this.behind = query(
      "SELECT position, due_ms, attempts, sum FROM later WHERE queue = ? AND position > ? ORDER BY position LIMIT ?",
    );
  }

  /** By queue's number: how many there are. Throws `DATA_DAMAGED` when any row is not what was stored. Reads all of them. */
  assertWhole(): ReadonlyMap<number, number> {
    const [count, wrong, indexed] = this.checked.first() ?? [0, 0, 0];
    if (wrong > 0 || indexed !== count) {
      const text = `Of ${count} messages to be delivered later ${Math.max(wrong, count - indexed)} are not as stored`;
      throw new MillraceError("DATA_DAMAGED", text);
    }
    return new Map(this.counts.all());
  }
}

export class LaterLine {
  readonly #table: LaterTable;
  readonly #queue: number;
  #count: number;
  #due = 0;
  #cursor = { dueMs: -1, position: forever };
  /** Whether the cursor stands at the clock, not at the end of a slice. */
  #hasCaughtUp = true;
  /** Known answers; `undefined`: ask the table. */
  #firstDue: EpochMs | undefined;
  #nextDue: EpochMs | undefined;
  #firstPosition: number | undefined;

  constructor(table: LaterTable, queue: number, count: number) {
    this.#table = table;
    this.#queue = queue;
    this.#count = count;
  }

  /** How many there are, due or not. */
  get count(): number {
    return this.#count;
  }

  insert({ position, dueAt, attempts }: LaterMessage): void {
    if (dueAt === setAsideAt) {
      this.#put(position, dueAt, attempts);
      return;
    }
    this.#put(position, dueAt, attempts);
    if (this.#isCounted(dueAt, position)) this.#due += 1;
    if (this.#count === 1) {
      this.#firstDue = dueAt;
      this.#firstPosition = position;
      this.#nextDue = undefined;
      return;
    }
    if (this.#firstDue !== undefined && dueAt < this.#firstDue) this.#firstDue = dueAt;
    if (this.#firstPosition !== undefined && position < this.#firstPosition) this.#firstPosition = position;
    if (this.#nextDue !== undefined && dueAt < this.#nextDue) this.#nextDue = undefined;
  }

  /** How many are due by now: exact up to a thousand. */
  dueCount(now: EpochMs): number {
    if (this.#count === 0) return 0;
    this.#advance(now);
    return this.#due;
  }

  /** Since when the longest waiting one has been due; `undefined` when none is due. */
  firstDue(now: EpochMs): EpochMs | undefined {
    if (this.#count === 0) return undefined;
    this.#firstDue ??= time(this.#table.firstDue.first(this.#queue));
    return this.#firstDue !== undefined && this.#firstDue <= now ? this.#firstDue : undefined;
  }

  /** When the next one becomes due. */
  nextDue(now: EpochMs): EpochMs | undefined {
    if (this.#count === 0) return undefined;
    this.#advance(now);
    // A known answer stays right until it is due, since everything before it was due already.
    if (this.#nextDue === undefined || this.#nextDue <= now) {
      this.#nextDue = time(this.#table.firstDueAfter.first(this.#queue, now)) ?? epochMs(Number.POSITIVE_INFINITY);
    }
    return this.#nextDue === Number.POSITIVE_INFINITY ? undefined : this.#nextDue;
  }

  /** The longest due ones, left in place. */
  due(now: EpochMs, max: number): readonly LaterMessage[] {
    const counted = Math.min(max, this.dueCount(now));
    return counted === 0 ? [] : this.#table.due.all(this.#queue, now, counted).map((row) => this.#message(row));
  }

  /** Removes `count` messages, those that are due longest, `last` being the last of them. */
  removeThrough(last: LaterMessage, count: number): void {
    const removed = this.#table.deleteThrough.run(this.#queue, last.dueAt, last.position);
    if (removed !== count) throw new Error(`${removed} messages were due instead of ${count}`);
    this.#count -= count;
    this.#due -= count;
    this.#firstDue = undefined;
    this.#firstPosition = undefined;
  }

  remove({ position, dueAt }: LaterMessage): void {
    this.#table.delete.run(this.#queue, dueAt, position);
    this.#count -= 1;
    if (this.#isCounted(dueAt, position)) this.#due -= 1;
    this.#firstDue = undefined;
    this.#nextDue = undefined;
    this.#firstPosition = undefined;
  }

  find(position: number): LaterMessage | undefined {
    if (this.#count === 0) return undefined;
    const row = this.#table.find.first(this.#queue, position);
    return row === undefined ? undefined : this.#message(row);
  }

  /** In order of arrival, behind a position. */
  behind(position: number, max: number): readonly LaterMessage[] {
    return this.#count === 0 ? [] : this.#table.behind.all(this.#queue, position, max).map((row) => this.#message(row));
  }

  /** As `behind`, without what is set aside. */
  waitingBehind(position: number, max: number): readonly LaterMessage[] {
    return this.#count === 0
      ? []
      : this.#table.waitingBehind.all(this.#queue, position, max).map((row) => this.#message(row));
  }

  /** How many are set aside, because they are damaged. */
  setAsideCount(): number {
    return this.#count === 0 ? 0 : (this.#table.setAside.first(this.#queue)?.[0] ?? 0);
  }

  /** The one that came in first, of those that are not set aside. */
  firstPosition(): number | undefined {
    if (this.#count === 0) return undefined;
    this.#firstPosition ??= this.waitingBehind(0, 1)[0]?.position;
    return this.#firstPosition;
  }

  /** Replaying a note: this many there are; the rows are in the table already. */
  replayCount(count: number): void {
    this.#count = count;
  }

  #message([position, dueMs, attempts, sum]: LaterRow): LaterMessage {
    if (sum !== laterSum(this.#queue, dueMs, position, attempts))
      throw new MillraceError("DATA_DAMAGED", `When the message at position ${position} is due is not what was stored`);
    return { position, dueAt: epochMs(dueMs), attempts };
  }

  #put(position: number, dueAt: EpochMs, attempts: number): void {
    this.#table.insert.run(this.#queue, dueAt, position, attempts, laterSum(this.#queue, dueAt, position, attempts));
    this.#count += 1;
  }

  #isCounted(dueAt: EpochMs, position: number): boolean {
    const { dueMs, position: last } = this.#cursor;
    return dueAt < dueMs || (dueAt === dueMs && position <= last);
  }

  #advance(now: EpochMs): void {
    if (now < this.#cursor.dueMs) {
      // The clock was set back: count again.
      this.#due = 0;
      this.#cursor = { dueMs: -1, position: forever };
      this.#hasCaughtUp = true;
      this.#nextDue = undefined;
    }
    if (this.#hasCaughtUp && (this.#cursor.dueMs === now || (this.#nextDue !== undefined && now < this.#nextDue)))
      return;
    if (!this.#hasCaughtUp && this.#due >= sliceRows / 2) return;
    const { dueMs, position } = this.#cursor;
    const found = this.#table.countDue.first(this.#queue, dueMs, position, now)?.[0] ?? 0;
    this.#due += found;
    const end = found === sliceRows ? this.#table.skip.first(this.#queue, dueMs, position) : undefined;
    this.#hasCaughtUp = end === undefined;
    this.#cursor = end === undefined ? { dueMs: now, position: forever } : { dueMs: end[0], position: end[1] };
  }
}

function time(row: readonly [dueMs: number] | undefined): EpochMs | undefined {
  return row === undefined ? undefined : epochMs(row[0]);
}
