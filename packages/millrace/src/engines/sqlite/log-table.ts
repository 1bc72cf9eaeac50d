// The log: messages and notes by position. One statement per function.
//
// What is appended gathers here and goes to SQLite as few rows and many rows a statement: before anything is read, and at the end
// of the transaction (`flush`). Messages of one queue that come one behind the other share a row (see pack.ts).

import type { DatabaseSync } from "node:sqlite";
import type { MessageId } from "../../core/index.ts";
import type { DeadRun } from "./dead-rows.ts";
import { isPack, Pack, packBytes, packCount, packHeadBytes, packMessages, writePackHead } from "./pack.ts";
import { bodyLength, headerBytes, idOffset, isHeaderWhole, isWhole, recordVersions, seal } from "./record.ts";
import type { Place } from "./record.ts";
import { isDamage, Query } from "./sql.ts";
import type { SqlValue } from "./sql.ts";

/** What notes carry instead of a queue's number. */
const noteQueue = 0;

/** Rows in one statement, the largest first; more gain nothing. A row costs 2 µs alone and 0.8 among many. */
const insertSizes = [32, 16, 8, 4, 2, 1] as const;
const [rowsPerInsert] = insertSizes;

/** Records that gather until SQLite is given them. */
const gatherBytes = 256 * 1024;

/** A row that is not given to SQLite yet: what stands in `#gathered` from `start` to `end`, with room for a pack's head before it. */
interface OpenRow {
  queue: number;
  last: number;
  count: number;
  start: number;
  end: number;
}

const recordMarks = recordVersions.map((version) => `x'${version.toString(16).padStart(2, "0")}'`).join(", ");
const isSingle = `substr(data, 1, 1) IN (${recordMarks})`;
/** Of a single message the header: the head of a blob is in its row's own page. Of others everything: where they begin is not known. */
const headerOrPack = `iif(${isSingle}, substr(data, 1, ${headerBytes}), data)`;
const rowOf = "(SELECT position FROM log WHERE position >= ? ORDER BY position LIMIT 1)";

export class LogTable {
  readonly #inserts: readonly { readonly rows: number; readonly query: Query }[];
  readonly #gathered = Buffer.allocUnsafeSlow(gatherBytes);
  #gatheredEnd = 0;
  /** The row that messages are added to; it comes behind those that are pending. */
  #open: OpenRow | undefined;
  /** Parameters of rows not yet given to SQLite. */
  #pending: SqlValue[] = [];
  /** The one that was read last: who wants its first message will want the others. */
  #pack: Pack | undefined;
  readonly #readRange: Query<readonly [data: Uint8Array, queue: number, position: number]>;
  readonly #data: Query<readonly [data: Uint8Array]>;
  readonly #rowFrom: Query<readonly [position: number, queue: number, data: Uint8Array]>;
  readonly #messageFrom: Query<readonly [position: number, queue: number, data: Uint8Array]>;
  readonly #messagesWith: Query<readonly [position: number, data: Uint8Array]>;
  readonly #messagesFrom: Query<readonly [position: number, queue: number, data: Uint8Array]>;
  readonly #recordsOf: Query<readonly [position: number, data: Uint8Array]>;
  readonly #notesBehind: Query<readonly [position: number, data: Uint8Array]>;
  readonly #deleteRange: Query;

  constructor(database: DatabaseSync) {
    const row = "(?, ?, ?)";
    const append = "INSERT INTO log (position, queue, data) VALUES ";
    this.#inserts = insertSizes.map((rows) => ({
      rows,
      query: new Query(database, append + Array<string>(rows).fill(row).join(", ")),
    }));
    this.#readRange = new Query(
      database,
      `SELECT data, queue, position FROM log WHERE position BETWEEN ? AND ${rowOf} ORDER BY position`,
    );
    this.#data = new Query(database, "SELECT data FROM log WHERE position = ?");
    const select = `SELECT position, queue, ${headerOrPack} FROM log WHERE position >= ?`;
    this.#rowFrom = new Query(database, `${select} ORDER BY position LIMIT 1`);
    this.#messageFrom = new Query(database, `${select} AND queue <> ${noteQueue} ORDER BY position LIMIT 1`);
    this.#messagesFrom = new Query(database, `${select} AND queue <> ${noteQueue} ORDER BY position`);
    // Compared here and not by whoever asks: a million messages in rows of their own take 0.18 s instead of 1.3.
    this.#messagesWith = new Query(
      database,
      `SELECT position, ${headerOrPack} FROM log WHERE position >= ? AND queue = ?
         AND (NOT ${isSingle} OR substr(data, ${idOffset + 1}, 16) IN (SELECT unhex(value) FROM json_each(?)))
         ORDER BY position`,
    );
    this.#recordsOf = new Query(
      database,
      `SELECT position, data FROM log WHERE position BETWEEN ? AND coalesce(${rowOf}, ?) AND queue = ? ORDER BY position`,
    );
    this.#notesBehind = new Query(
      database,
      `SELECT position, data FROM log WHERE position > ? AND queue = ${noteQueue} ORDER BY position`,
    );
    this.#deleteRange = new Query(database, "DELETE FROM log WHERE position BETWEEN ? AND ?");
  }

  /** Adds the message whose record stands in `bytes`, and seals it. The bytes must not change before the transaction ends. */
  appendMessage(place: Place, bytes: Buffer, start: number, end: number): void {
    const length = end - start;
    if (length > packBytes - packHeadBytes) {
      this.#closeRow();
      seal(bytes, start, end, place);
      this.#push(place.position, place.queue, bytes.subarray(start, end));
      return;
    }
    let row = this.#open;
    if (
      row === undefined ||
      row.queue !== place.queue ||
      row.last + 1 !== place.position ||
      row.count === packMessages ||
      row.end - row.start + length > packBytes - packHeadBytes
    ) {
      this.#closeRow();
      if (this.#gatheredEnd + packBytes > gatherBytes) this.flush();
      const at = this.#gatheredEnd + packHeadBytes;
      row = this.#open = { queue: place.queue, last: place.position, count: 0, start: at, end: at };
    }
    const to = row.end + length;
    bytes.copy(this.#gathered, row.end, start, end);
    seal(this.#gathered, row.end, to, place);
    row.last = place.position;
    row.count += 1;
    row.end = to;
  }

  /** The note may change afterwards. */
  appendNote(position: number, note: Uint8Array): void {
    this.#closeRow();
    this.#push(position, noteQueue, note);
    this.flush();
  }

  /** Gives SQLite what gathered. */
  flush(): void {
    this.#closeRow();
    const pending = this.#pending;
    if (pending.length === 0) return;
    this.#pending = [];
    this.#gatheredEnd = 0;
    let at = 0;
    for (const { rows, query } of this.#inserts) {
      for (; at + 3 * rows <= pending.length; at += 3 * rows) query.run(...pending.slice(at, at + 3 * rows));
    }
  }

  /** Forgets what gathered and what was read: the transaction is rolled back. */
  discard(): void {
    this.#open = undefined;
    this.#pending = [];
    this.#gatheredEnd = 0;
    this.#pack = undefined;
  }

  /** The records of `count` live messages that stand side by side; `undefined`: not all of them are what was stored. */
  readRange(first: number, count: number): Buffer[] | undefined {
    this.flush();
    const last = first + count - 1;
    const records: Buffer[] = [];
    let next = first;
    const take = (pack: Pack): boolean => {
      for (const until = Math.min(last, pack.last); next <= until; next += 1) {
        const record = pack.record(next);
        if (record === undefined) return false;
        records.push(record);
      }
      return true;
    };
    if (this.#pack?.has(next) === true && !take(this.#pack)) return undefined;
    if (next > last) return records;
    try {
      for (const [data, queue, position] of this.#readRange.all(next, last)) {
        if (isPack(data)) {
          this.#pack = new Pack(data, { position, queue });
          if (!take(this.#pack)) return undefined;
        } else {
          if (position !== next || !isWhole(data, { position, queue })) return undefined;
          records.push(asBuffer(data));
          next += 1;
        }
      }
    } catch (error) {
      if (isDamage(error)) return undefined;
      throw error;
    }
    return next > last ? records : undefined;
  }

  /** The header of a live message's record; `undefined` when it is not what was stored. */
  header(position: number): Buffer | undefined {
    this.flush();
    if (this.#pack?.has(position) === true) return this.#pack.header(position);
    try {
      const [found, queue = 0, data] = this.#rowFrom.first(position) ?? [];
      if (found === undefined) return undefined;
      if (isPack(data)) return this.#keep(new Pack(data, { position: found, queue })).header(position);
      return found === position && isHeaderWhole(data, { position, queue }) ? asBuffer(data) : undefined;
    } catch (error) {
      if (isDamage(error)) return undefined;
      throw error;
    }
  }

  /** What is there of a message's record, damaged or not; `undefined`: nothing. Throws what SQLite says of damage. */
  raw(position: number): Uint8Array | undefined {
    const [found, queue = 0, data] = this.#rowFrom.first(position) ?? [];
    if (found === undefined) return undefined;
    if (isPack(data)) return new Pack(data, { position: found, queue }).raw(position);
    return found === position ? this.#data.first(position)?.[0] : undefined;
  }

  /** Bytes of a live message's body; of one that is damaged the best guess. */
  size(position: number): number {
    const header = this.header(position);
    return header === undefined ? 0 : bodyLength(header);
  }

  /**
   * The first message at or behind a position, of any queue, dead ones not yet deleted included; without its header when that is
   * not what was stored.
   */
  messageFrom(position: number): { readonly position: number; readonly header: Buffer | undefined } | undefined {
    this.flush();
    const row = this.#messageFrom.first(position);
    if (row === undefined) return undefined;
    const [found, queue, data] = row;
    if (isPack(data)) {
      const pack = this.#keep(new Pack(data, { position: found, queue }));
      const first = Math.max(position, pack.first);
      return { position: first, header: pack.header(first) };
    }
    const isGood = isHeaderWhole(data, { position: found, queue });
    return { position: found, header: isGood ? asBuffer(data) : undefined };
  }

  /** Headers of a queue's messages with one of these ids, at or behind a position, dead ones not yet deleted included. Reads on from there. */
  *messagesWith(
    ids: ReadonlySet<MessageId>,
    queue: number,
    from: number,
  ): Generator<{ readonly position: number; readonly header: Buffer }> {
    this.flush();
    const firstWords = new Set(Array.from(ids, (id) => Number.parseInt(id.slice(0, 8), 16)));
    for (const [position, data] of this.#messagesWith.each(from, queue, JSON.stringify([...ids]))) {
      if (!isPack(data)) {
        if (isHeaderWhole(data, { position, queue })) yield { position, header: asBuffer(data) };
        continue;
      }
      const pack = new Pack(data, { position, queue });
      for (let at = Math.max(from, pack.first); at <= pack.last; at += 1) {
        const record = pack.header(at);
        if (record === undefined || !firstWords.has(record.readUInt32BE(idOffset))) continue;
        if (ids.has(record.toString("hex", idOffset, idOffset + 16) as MessageId))
          yield { position: at, header: record };
      }
    }
  }

  /** The ids of messages of any queue at or behind a position, dead ones not yet deleted included. Reads on from there. */
  *idsFrom(from: number): Generator<readonly [position: number, id: Uint8Array]> {
    this.flush();
    for (const [position, queue, data] of this.#messagesFrom.each(from)) {
      if (!isPack(data)) {
        yield [position, asBuffer(data).subarray(idOffset, idOffset + 16)];
        continue;
      }
      const pack = new Pack(data, { position, queue });
      for (let at = Math.max(from, pack.first); at <= pack.last; at += 1) {
        const record = pack.header(at);
        if (record !== undefined) yield [at, record.subarray(idOffset, idOffset + 16)];
      }
    }
  }

  /** What is there of a queue's records from one position to another, dead ones not yet deleted included. */
  *recordsOf(
    queue: number,
    first: number,
    last: number,
  ): Generator<{ readonly position: number; readonly record: Buffer }> {
    this.flush();
    for (const [position, data] of this.#recordsOf.each(first, last, last, queue)) {
      if (!isPack(data)) {
        if (position <= last) yield { position, record: asBuffer(data) };
        continue;
      }
      const pack = new Pack(data, { position, queue });
      for (let at = Math.max(first, pack.first); at <= Math.min(last, pack.last); at += 1) {
        yield { position: at, record: pack.raw(at) ?? Buffer.alloc(0) };
      }
    }
  }

  notesBehind(position: number): IterableIterator<readonly [position: number, data: Uint8Array]> {
    return this.#notesBehind.each(position);
  }

  /** The first position in use; 0 when there is none. */
  firstPosition(): number {
    this.flush();
    const row = this.#rowFrom.first(0);
    return row === undefined ? 0 : this.#firstOf(row);
  }

  /**
   * Deletes the rows of positions that nobody needs. Answers those of them whose rows hold other messages too and are not deleted:
   * at most one run at either end.
   */
  deleteRange(first: number, count: number): DeadRun[] {
    this.flush();
    const last = first + count - 1;
    const left: DeadRun[] = [];
    let [from, through] = [first, last];
    const front = this.#rowFrom.first(first);
    if (front === undefined) return left;
    if (this.#firstOf(front) < first) {
      const [end] = front;
      from = end + 1;
      left.push({ first, count: Math.min(last, end) - first + 1 });
    }
    const back = from > last ? undefined : this.#rowFrom.first(last + 1);
    const backFirst = back === undefined ? last + 1 : this.#firstOf(back);
    if (backFirst <= last) {
      through = backFirst - 1;
      left.push({ first: backFirst, count: last - backFirst + 1 });
    }
    if (from > through) return left;
    this.#deleteRange.run(from, through);
    this.#pack = undefined;
    return left;
  }

  /**
   * Writes the row of a position anew without the messages that nobody needs. Answers which positions the row had;
   * `undefined`: none were taken out, since there is no such row, or some of it is damaged.
   */
  takeOut(position: number, isDead: (position: number) => boolean): DeadRun | undefined {
    this.flush();
    const [last, queue = 0, data] = this.#rowFrom.first(position) ?? [];
    if (last === undefined || queue === noteQueue || !isPack(data)) return undefined;
    const pack = new Pack(data, { position: last, queue });
    if (packCount(data) === undefined || !pack.has(position)) return undefined;
    const kept: { readonly position: number; readonly record: Buffer }[] = [];
    for (let at = pack.first; at <= last; at += 1) {
      if (isDead(at)) continue;
      const record = pack.record(at);
      if (record === undefined) return undefined;
      kept.push({ position: at, record });
    }
    this.#deleteRange.run(last, last);
    this.#pack = undefined;
    for (const { position: at, record } of kept) this.appendMessage({ position: at, queue }, record, 0, record.length);
    this.flush();
    return { first: pack.first, count: last - pack.first + 1 };
  }

  #keep(pack: Pack): Pack {
    this.#pack = pack;
    return pack;
  }

  #firstOf([position, queue, data]: readonly [position: number, queue: number, data: Uint8Array]): number {
    if (!isPack(data) || queue === noteQueue) return position;
    const count = packCount(data);
    return count === undefined ? new Pack(data, { position, queue }).first : position - count + 1;
  }

  /** Nothing is added any more to the row that is open. */
  #closeRow(): void {
    const row = this.#open;
    if (row === undefined) return;
    this.#open = undefined;
    this.#gatheredEnd = row.end;
    let { start } = row;
    if (row.count > 1) {
      start -= packHeadBytes;
      writePackHead(this.#gathered, start, row.count);
    }
    this.#push(row.last, row.queue, this.#gathered.subarray(start, row.end));
  }

  #push(position: number, queue: number, data: Uint8Array): void {
    this.#pending.push(position, queue, data);
    if (this.#pending.length === 3 * rowsPerInsert) this.flush();
  }
}

/** Empty where a flipped bit has made something else of the bytes. */
function asBuffer(bytes: unknown): Buffer {
  if (!(bytes instanceof Uint8Array)) return Buffer.alloc(0);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}
