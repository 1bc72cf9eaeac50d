// Reads what is left of a damaged database: every row that is what was stored, whatever became of its neighbours.

import type { DatabaseSync } from "node:sqlite";
import { epochMs } from "../../core/index.ts";
import type { EpochMs, QueueId } from "../../core/index.ts";
import { ByteReader } from "./bytes.ts";
import { checkedColumns } from "./checksum-step.ts";
import { laterSumSql, setAsideAt } from "./later-line.ts";
import { leasedBatch, readLease } from "./lease-book.ts";
import type { LeasedBatchEntry } from "./lease-book.ts";
import { readNote } from "./note.ts";
import type { Note } from "./note.ts";
import type { QueueCounters } from "./queue-state.ts";
import { isPack, Pack } from "./pack.ts";
import { bodyLength, isHeaderWhole, isWhole, readHeader } from "./record.ts";
import type { Place } from "./record.ts";
import { isDamage, Query } from "./sql.ts";
import type { SqlValue } from "./sql.ts";
import { sumOf } from "./sums.ts";

export interface SalvagedMessage {
  readonly position: number;
  readonly size: number;
  readonly storedAt: EpochMs;
  /** Whether it is what was stored: if not it is set aside. */
  readonly isWhole: boolean;
}

export interface SalvagedQueue {
  readonly number: number;
  readonly id: QueueId;
  readonly counters: QueueCounters;
  /** In order of arrival; each is in one of the lines below, or fresh. */
  readonly messages: readonly SalvagedMessage[];
  readonly later: ReadonlyMap<number, { readonly dueAt: EpochMs; readonly attempts: number }>;
  readonly leases: readonly LeasedBatchEntry[];
}

export interface Salvage {
  readonly queues: readonly SalvagedQueue[];
  /** Positions that were in use, dead ones included. */
  readonly lastPosition: number;
  readonly nextBatch: number;
  readonly nextQueue: number;
  readonly revision: number;
  readonly records: readonly Row[];
  readonly audit: readonly Row[];
  readonly blobs: readonly Row[];
  readonly lost: {
    /** Messages that a queue counts and of which nothing is left. */
    readonly messages: number;
    /** Messages that are set aside. */
    readonly setAside: number;
    /** Rows and notes about where messages stand. */
    readonly states: number;
    /** `undefined`: nobody knows how many there were. */
    readonly settings: number | undefined;
    readonly auditEntries: number;
    readonly files: number;
  };
  readonly isEmpty: boolean;
}

export type Row = readonly SqlValue[];

interface QueueFacts {
  readonly id: QueueId;
  isDoomed: boolean;
  /** `undefined`: not known. */
  counters: QueueCounters | undefined;
}

interface Found extends SalvagedMessage {
  readonly queue: number;
}

export function readSalvage(database: DatabaseSync): Salvage {
  const reader = new Reader(database);
  const { messages, notes, damagedNotes, lastPosition } = reader.log();
  const mark = reader.rows("fold")[0];
  const queues = queuesOf(reader);
  const dead = new Set<number>();
  const markedDead = (runs: Note["dead"]): void => {
    for (const { first, count } of runs) for (let at = first; at < first + count; at += 1) dead.add(at);
  };
  markedDead(reader.rows("dead").map(([first, count]) => ({ first: Number(first), count: Number(count) })));
  const leases = new Map<number, { readonly queue: number; readonly entry: LeasedBatchEntry }>();
  for (const [batch, queue, data] of reader.rows("leases")) {
    const entry = readLease(new ByteReader(data as Uint8Array), Number(batch));
    leases.set(entry.batch, { queue: Number(queue), entry });
  }
  let nextBatch = Number(mark?.[1] ?? 1);
  // A fold makes the notes before it dead, so that they are told from those since, whether it says how far it went or not.
  const folded = mark === undefined ? undefined : Number(mark[0]);
  for (const { position, note } of notes) {
    nextBatch = Math.max(nextBatch, note.nextBatch);
    if (folded === undefined ? dead.has(position) : position <= folded) continue;
    markedDead(note.dead);
    for (const { number, counters } of note.queues) {
      const queue = queues.get(number);
      if (queue !== undefined) queue.counters = { ...counters };
    }
    for (const { queue, batch, entry } of note.leases) {
      if (entry === undefined) leases.delete(batch);
      else leases.set(batch, { queue, entry });
    }
  }
  for (const batch of leases.keys()) nextBatch = Math.max(nextBatch, batch + 1);

  const later = reader.later();
  const byQueue = Map.groupBy(messages, ({ queue }) => queue);
  const lost = { messages: 0, setAside: 0 };
  const salvaged: SalvagedQueue[] = [];
  for (const [number, { id, isDoomed, counters }] of queues) {
    if (isDoomed) continue;
    const queue = queueOf(
      number,
      id,
      counters,
      (byQueue.get(number) ?? []).filter(({ position }) => !dead.has(position)),
      {
        later,
        leases,
      },
    );
    lost.messages += queue.missing;
    lost.setAside += queue.salvaged.messages.filter(({ isWhole: whole }) => !whole).length;
    salvaged.push(queue.salvaged);
  }
  const catalog = reader.rows("catalog")[0];
  const records = reader.records();
  return {
    queues: salvaged,
    lastPosition: Math.max(lastPosition, folded ?? 0),
    nextBatch,
    nextQueue: Math.max(Number(mark?.[2] ?? 1), ...Array.from(queues.keys(), (number) => number + 1)),
    // Whoever knows the number before must not take what is there now for it.
    revision: catalog === undefined ? 1_000_000_000 : Number(catalog[0]),
    records,
    audit: reader.rows("audit"),
    blobs: reader.rows("blobs"),
    lost: {
      ...lost,
      states: damagedNotes + reader.damaged("fold", "queues", "leases", "dead", "runs", "holes") + reader.damagedLater,
      settings: catalog === undefined ? undefined : Math.max(0, Number(catalog[1]) - records.length),
      auditEntries: reader.damaged("audit"),
      files: reader.damaged("blobs"),
    },
    isEmpty: messages.length === 0 && queues.size === 0 && records.length === 0,
  };
}

function queueOf(
  number: number,
  id: QueueId,
  known: QueueCounters | undefined,
  messages: readonly SalvagedMessage[],
  lines: {
    readonly later: ReadonlyMap<number, { readonly queue: number; readonly dueAt: EpochMs; readonly attempts: number }>;
    readonly leases: ReadonlyMap<number, { readonly queue: number; readonly entry: LeasedBatchEntry }>;
  },
): { readonly salvaged: SalvagedQueue; readonly missing: number } {
  const whole = new Map(messages.filter((each) => each.isWhole).map((each) => [each.position, each]));
  const leased = new Set<number>();
  const leases: LeasedBatchEntry[] = [];
  for (const { queue, entry } of lines.leases.values()) {
    if (queue !== number) continue;
    const items = entry.items.filter(({ position }) => whole.has(position) && !leased.has(position));
    for (const { position } of items) leased.add(position);
    if (items.length > 0) leases.push(leasedBatch({ ...entry, items }));
  }
  const later = new Map<number, { readonly dueAt: EpochMs; readonly attempts: number }>();
  for (const { position, isWhole: isGood } of messages) {
    const row = lines.later.get(position);
    if (!isGood) later.set(position, { dueAt: setAsideAt, attempts: row?.attempts ?? 0 });
    else if (row !== undefined && row.queue === number && !leased.has(position))
      later.set(position, row.dueAt === setAsideAt ? { dueAt: epochMs(0), attempts: row.attempts } : row);
  }
  const bytes = messages.reduce((sum, { size }) => sum + size, 0);
  const counters = { ...(known ?? noCounters), count: messages.length, bytes };
  const { accepted, acked, deadLettered, expired, purged, dropped } = counters;
  const missing = accepted - (counters.count + acked + deadLettered + expired + purged + dropped);
  // What is gone has left, and what is back has come again: the law is to hold from here on.
  if (missing > 0) counters.dropped += missing;
  else counters.accepted -= missing;
  return { salvaged: { number, id, counters, messages, later, leases }, missing: Math.max(0, missing) };
}

function queuesOf(reader: Reader): Map<number, QueueFacts> {
  const queues = new Map<number, QueueFacts>();
  for (const row of reader.rows("queues")) {
    const [number, id, doomed, , , , ...counts] = row;
    const [count, bytes, accepted, acked, deadLettered, expired, purged, dropped] = counts.map(Number);
    queues.set(Number(number), {
      id: String(id) as QueueId,
      isDoomed: doomed === 1,
      counters: {
        ...noCounters,
        ...definedOf({ count, bytes, accepted, acked, deadLettered, expired, purged, dropped }),
      },
    });
  }
  // The index still says whose number it is when the row does not.
  const known = new Set(Array.from(queues.values(), ({ id }) => id));
  for (const [number, id] of reader.queueIds()) {
    if (!queues.has(number) && !known.has(id)) queues.set(number, { id, isDoomed: false, counters: undefined });
  }
  return queues;
}

const noCounters: QueueCounters = {
  count: 0,
  bytes: 0,
  accepted: 0,
  acked: 0,
  deadLettered: 0,
  expired: 0,
  purged: 0,
  dropped: 0,
};

function definedOf(counts: Readonly<Record<keyof QueueCounters, number | undefined>>): Partial<QueueCounters> {
  return Object.fromEntries(Object.entries(counts).filter(([, count]) => count !== undefined));
}

type CheckedTable = keyof typeof checkedColumns;

class Reader {
  readonly #database: DatabaseSync;
  readonly #damaged = new Map<string, number>();
  readonly #read = new Map<string, readonly Row[]>();
  damagedLater = 0;

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  /** Rows of these tables that are not what was stored. */
  damaged(...tables: readonly CheckedTable[]): number {
    for (const table of tables) this.rows(table);
    return tables.reduce((sum, table) => sum + (this.#damaged.get(table) ?? 0), 0);
  }

  /** The rows of a table that are what was stored, without their checksums, in order of their key. */
  rows(table: CheckedTable): readonly Row[] {
    const known = this.#read.get(table);
    if (known !== undefined) return known;
    const whole = this.#checked(table, checkedColumns[table], table === "fold" || table === "catalog" ? 0 : 1);
    this.#read.set(table, whole);
    return whole;
  }

  /** Settings, from the table and from its copy. */
  records(): readonly Row[] {
    const rows = [...this.rows("records"), ...this.#checked("record_copies", checkedColumns.records, 1)];
    const byNumber = new Map(rows.map((row) => [row[0], row]));
    return [...byNumber.values()].toSorted(([a], [b]) => Number(a) - Number(b));
  }

  queueIds(): readonly (readonly [number: number, id: QueueId])[] {
    const sql = "SELECT number, id FROM queues INDEXED BY queues_by_id WHERE doomed = 0 AND id > ''";
    const { rows } = this.#bothWays((direction) => `${sql} ORDER BY id ${direction}`);
    return rows
      .map(([number, id]) => [Number(number), String(id) as QueueId] as const)
      .filter(([, id]) => /^[0-9a-f]{32}$/.test(id));
  }

  later(): Map<number, { readonly queue: number; readonly dueAt: EpochMs; readonly attempts: number }> {
    const columns = `queue, due_ms, position, attempts, sum = ${laterSumSql}`;
    const { rows, isCut } = this.#bothWays(
      (direction) =>
        `SELECT ${columns} FROM later NOT INDEXED ORDER BY queue ${direction}, due_ms ${direction}, position ${direction}`,
    );
    if (isCut) this.damagedLater += 1;
    const found = new Map<number, { readonly queue: number; readonly dueAt: EpochMs; readonly attempts: number }>();
    for (const [queue, dueMs, position, attempts, isRight] of rows) {
      if (isRight !== 1) this.damagedLater += 1;
      else
        found.set(Number(position), {
          queue: Number(queue),
          dueAt: epochMs(Number(dueMs)),
          attempts: Number(attempts),
        });
    }
    return found;
  }

  log(): {
    readonly messages: readonly Found[];
    readonly notes: readonly { readonly position: number; readonly note: Note }[];
    readonly damagedNotes: number;
    readonly lastPosition: number;
  } {
    const messages: Found[] = [];
    const notes: { readonly position: number; readonly note: Note }[] = [];
    let damagedNotes = 0;
    let lastPosition = 0;
    for (const [position, queue, data] of this.#logRows()) {
      lastPosition = Math.max(lastPosition, position);
      if (queue === 0) {
        try {
          notes.push({ position, note: readNote(data, position) });
        } catch {
          damagedNotes += 1;
        }
        continue;
      }
      if (!isPack(data)) {
        messages.push(foundAt({ position, queue }, data));
        continue;
      }
      const pack = new Pack(data, { position, queue });
      for (let at = pack.first; at <= position; at += 1) messages.push(foundAt({ position: at, queue }, pack.raw(at)));
    }
    return { messages, notes, damagedNotes, lastPosition };
  }

  /** Row by row, and on behind what cannot be read. */
  *#logRows(): Generator<readonly [position: number, queue: number, data: Uint8Array]> {
    const query = (): Query<readonly [number, number, Uint8Array]> =>
      new Query(this.#database, "SELECT position, queue, data FROM log WHERE position >= ? ORDER BY position LIMIT 1");
    let next = query();
    let last = 0;
    for (let at = 1, step = 1; at < Number.MAX_SAFE_INTEGER;) {
      try {
        const row = next.first(at);
        if (row === undefined) return;
        const [position] = row;
        step = 1;
        at = Math.max(position, at) + 1;
        if (position > last && Number.isSafeInteger(position)) yield row;
        last = Math.max(last, position);
      } catch (error) {
        if (!isDamage(error)) throw error;
        next = query();
        // Not one by one through a damaged page near the root, which may lead to millions of rows.
        at += step;
        step = at - last > 1_000 ? Math.min(step * 2, 2 ** 40) : 1;
      }
    }
  }

  #checked(table: string, columns: readonly string[], keyColumns: number): readonly Row[] {
    const key = keyColumns === 0 ? "" : columns[0];
    const { rows, isCut } = this.#bothWays(
      (direction) =>
        `SELECT ${columns.join(", ")}, sum FROM ${table}${key === "" ? "" : ` NOT INDEXED ORDER BY ${String(key)} ${direction}`}`,
    );
    const whole: Row[] = [];
    let damaged = isCut ? 1 : 0;
    for (const row of rows) {
      const values = row.slice(0, -1);
      if (row.at(-1) === sumOf(...values)) whole.push(values);
      else damaged += 1;
    }
    this.#damaged.set(table, damaged);
    return whole;
  }

  /** From the start up to what is damaged, and from the end. */
  #bothWays(sqlOf: (direction: "ASC" | "DESC") => string): { readonly rows: readonly Row[]; readonly isCut: boolean } {
    const forth = this.#until(sqlOf("ASC"));
    if (!forth.isCut) return forth;
    const back = this.#until(sqlOf("DESC"));
    const seen = new Set(forth.rows.map(fingerprint));
    return {
      rows: [...forth.rows, ...back.rows.filter((row) => !seen.has(fingerprint(row))).toReversed()],
      isCut: true,
    };
  }

  #until(sql: string): { readonly rows: readonly Row[]; readonly isCut: boolean } {
    const rows: Row[] = [];
    try {
      for (const row of new Query(this.#database, sql).each()) rows.push(row);
      return { rows, isCut: false };
    } catch (error) {
      if (!isDamage(error)) throw error;
      return { rows, isCut: true };
    }
  }
}

/** `record`: of what a flipped bit has made of it. */
function foundAt(place: Place, record: unknown): Found {
  const isGood = isHeaderWhole(record, place);
  return {
    ...place,
    size: isGood ? bodyLength(record) : 0,
    storedAt: isGood ? readHeader(Buffer.from(record.buffer, record.byteOffset, record.length)).storedAt : epochMs(0),
    isWhole: isWhole(record, place),
  };
}

function fingerprint(row: Row): number {
  return sumOf(...row);
}
