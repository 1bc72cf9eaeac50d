// The log: messages and notes by position. One statement per function.
//
// What is appended gathers here and goes to SQLite many rows a statement, which is a third faster than row by row: before
// anything is read, and at the end of the transaction (`flush`).

import type { DatabaseSync } from "node:sqlite";
import { MillraceError } from "../../core/index.ts";
import type { MessageId } from "../../core/index.ts";
import { bodyLength, headerBytes, idOffset, isHeaderWhole, isWhole } from "./record.ts";
import { isDamage, Query } from "./sql.ts";
import type { SqlValue } from "./sql.ts";

/** What notes carry instead of a queue's number. */
const noteQueue = 0;

/** Rows in one statement, the largest first; more gain nothing. A row costs 2 µs alone and 0.8 among many. */
const insertSizes = [32, 16, 8, 4, 2, 1] as const;
const [rowsPerInsert] = insertSizes;

export class LogTable {
  readonly #inserts: readonly { readonly rows: number; readonly query: Query }[];
  /** Parameters of rows not yet given to SQLite. */
  #pending: SqlValue[] = [];
  readonly #read: Query<readonly [data: Uint8Array, queue: number]>;
  readonly #readRange: Query<readonly [data: Uint8Array, queue: number, position: number]>;
  readonly #header: Query<readonly [header: Uint8Array, queue: number]>;
  readonly #messageFrom: Query<readonly [position: number, header: Uint8Array, queue: number]>;
  readonly #messagesWith: Query<readonly [position: number, header: Uint8Array]>;
  readonly #idsFrom: Query<readonly [position: number, id: Uint8Array]>;
  readonly #recordsOf: Query<readonly [position: number, data: Uint8Array]>;
  readonly #notesBehind: Query<readonly [position: number, data: Uint8Array]>;
  readonly #bounds: Query<readonly [first: number | null, last: number | null]>;
  readonly #deleteRange: Query;

  constructor(database: DatabaseSync) {
    const row = "(?, ?, ?)";
    const append = "INSERT INTO log (position, queue, data) VALUES ";
    this.#inserts = insertSizes.map((rows) => ({
      rows,
      query: new Query(database, append + Array<string>(rows).fill(row).join(", ")),
    }));
    this.#read = new Query(database, "SELECT data, queue FROM log WHERE position = ?");
    this.#readRange = new Query(database, "SELECT data, queue, position FROM log WHERE position BETWEEN ? AND ?");
    // The head of a blob is in its row's own page: the overflow pages of a large body are not touched.
    this.#header = new Query(database, `SELECT substr(data, 1, ${headerBytes}), queue FROM log WHERE position = ?`);
    this.#messageFrom = new Query(
      database,
      `SELECT position, substr(data, 1, ${headerBytes}), queue FROM log WHERE position >= ? AND queue <> ${noteQueue} ORDER BY position LIMIT 1`,
    );
    // Compared here and not by whoever asks: a million messages take 0.18 s instead of 1.3.
    this.#messagesWith = new Query(
      database,
      `SELECT position, substr(data, 1, ${headerBytes}) FROM log WHERE position >= ? AND queue = ? AND substr(data, ${idOffset + 1}, 16) IN (SELECT unhex(value) FROM json_each(?)) ORDER BY position`,
    );
    this.#idsFrom = new Query(
      database,
      `SELECT position, substr(data, ${idOffset + 1}, 16) FROM log WHERE position >= ? AND queue <> ${noteQueue} ORDER BY position LIMIT ?`,
    );
    this.#recordsOf = new Query(
      database,
      "SELECT position, data FROM log WHERE position BETWEEN ? AND ? AND queue = ? ORDER BY position",
    );
    this.#notesBehind = new Query(
      database,
      `SELECT position, data FROM log WHERE position > ? AND queue = ${noteQueue} ORDER BY position`,
    );
    this.#bounds = new Query(database, "SELECT (SELECT min(position) FROM log), (SELECT max(position) FROM log)");
    this.#deleteRange = new Query(database, "DELETE FROM log WHERE position BETWEEN ? AND ?");
  }

  /** The record must not change before the transaction ends. */
  appendMessage(position: number, queue: number, record: Uint8Array): void {
    this.#pending.push(position, queue, record);
    if (this.#pending.length === 3 * rowsPerInsert) this.flush();
  }

  /** The note may change afterwards. */
  appendNote(position: number, note: Uint8Array): void {
    this.#pending.push(position, noteQueue, note);
    this.flush();
  }

  /** Gives SQLite what gathered. */
  flush(): void {
    const pending = this.#pending;
    if (pending.length === 0) return;
    this.#pending = [];
    let at = 0;
    for (const { rows, query } of this.#inserts) {
      for (; at + 3 * rows <= pending.length; at += 3 * rows) query.run(...pending.slice(at, at + 3 * rows));
    }
  }

  /** Forgets what gathered: the transaction is rolled back. */
  discard(): void {
    this.#pending = [];
  }

  /** The record of a live message. Throws `DATA_DAMAGED` when it is not what was stored. */
  read(position: number): Uint8Array {
    this.flush();
    const [data, queue = 0] = this.#read.first(position) ?? [];
    if (data === undefined) return missing(position);
    return isWhole(data, { position, queue }) ? data : damaged(position);
  }

  /** The records of `count` live messages that stand side by side; `undefined`: not all of them are what was stored. */
  readRange(first: number, count: number): Uint8Array[] | undefined {
    this.flush();
    try {
      const rows = this.#readRange.all(first, first + count - 1);
      if (rows.length !== count) return undefined;
      const records: Uint8Array[] = [];
      for (const [data, queue, position] of rows) {
        if (!isWhole(data, { position, queue })) return undefined;
        records.push(data);
      }
      return records;
    } catch (error) {
      if (isDamage(error)) return undefined;
      throw error;
    }
  }

  /** The header of a live message's record; `undefined` when it is not what was stored. */
  header(position: number): Buffer | undefined {
    this.flush();
    try {
      const [header, queue = 0] = this.#header.first(position) ?? [];
      return header !== undefined && isHeaderWhole(header, { position, queue }) ? asBuffer(header) : undefined;
    } catch (error) {
      if (isDamage(error)) return undefined;
      throw error;
    }
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
    const [found, header, queue] = row;
    const isGood = isHeaderWhole(header, { position: found, queue });
    return { position: found, header: isGood ? asBuffer(header) : undefined };
  }

  /** Headers of a queue's messages with one of these ids, at or behind a position, dead ones not yet deleted included. Reads on from there. */
  *messagesWith(
    ids: ReadonlySet<MessageId>,
    queue: number,
    from: number,
  ): Generator<{ readonly position: number; readonly header: Buffer }> {
    this.flush();
    const found = this.#messagesWith.each(from, queue, JSON.stringify([...ids]));
    for (const [position, header] of found) {
      if (isHeaderWhole(header, { position, queue })) yield { position, header: asBuffer(header) };
    }
  }

  /** The ids of messages of any queue at or behind a position, dead ones not yet deleted included. */
  idsFrom(position: number, limit: number): readonly (readonly [position: number, id: Uint8Array])[] {
    this.flush();
    return this.#idsFrom.all(position, limit);
  }

  /** Records of a queue's messages from one position to another, dead ones not yet deleted included. */
  *recordsOf(
    queue: number,
    first: number,
    last: number,
  ): Generator<{ readonly position: number; readonly record: Buffer }> {
    this.flush();
    for (const [position, data] of this.#recordsOf.each(first, last, queue)) yield { position, record: asBuffer(data) };
  }

  notesBehind(position: number): IterableIterator<readonly [position: number, data: Uint8Array]> {
    return this.#notesBehind.each(position);
  }

  /** The first and the last position in use; zeros when there is none. */
  bounds(): { readonly first: number; readonly last: number } {
    this.flush();
    const [first, last] = this.#bounds.first() ?? [0, 0];
    return { first: first ?? 0, last: last ?? 0 };
  }

  deleteRange(first: number, count: number): void {
    this.#deleteRange.run(first, first + count - 1);
  }
}

/** Empty where a flipped bit has made something else of the bytes. */
function asBuffer(bytes: unknown): Buffer {
  if (!(bytes instanceof Uint8Array)) return Buffer.alloc(0);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

function damaged(position: number): never {
  const text = `The message at position ${position} is not what was stored`;
  throw new MillraceError("DATA_DAMAGED", text, { fields: { position } });
}

function missing(position: number): never {
  throw new MillraceError("DATA_DAMAGED", `The message at position ${position} is missing`, { fields: { position } });
}
