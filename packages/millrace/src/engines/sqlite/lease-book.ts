// A queue's leases: one entry a batch, so that acknowledging a whole batch costs the same as one message. A batch that is
// settled in parts keeps what is left.

import { epochMs, Timeline } from "../../core/index.ts";
import type { EpochMs, Holder } from "../../core/index.ts";
import type { ByteReader, ByteWriter } from "./bytes.ts";
import { readRuns, writeRuns } from "./run-list.ts";
import type { Run } from "./run-list.ts";

/** One leased message. */
export interface LeasedItem {
  readonly position: number;
  /** Deliveries so far, this one included. */
  readonly attempts: number;
  /** Bytes of the body. */
  readonly size: number;
  /** When its lease ends. */
  readonly endsAt: EpochMs;
}

export interface LeasedBatchEntry {
  readonly batch: number;
  readonly holder: Holder;
  /** Whether messages in it were leased before: an older lease may name them too. */
  readonly isRedelivery: boolean;
  /** What is still leased, in order of delivery. */
  readonly items: readonly LeasedItem[];
  /** The smallest position in it. */
  readonly lowest: number;
}

export function leasedBatch(entry: Omit<LeasedBatchEntry, "lowest">): LeasedBatchEntry {
  let lowest = Number.POSITIVE_INFINITY;
  for (const { position } of entry.items) if (position < lowest) lowest = position;
  return { ...entry, lowest };
}

/** The batch with other items left in it. */
export function withItems(entry: LeasedBatchEntry, items: readonly LeasedItem[]): LeasedBatchEntry {
  return leasedBatch({ ...entry, items });
}

export class LeaseBook {
  readonly #batches = new Map<number, LeasedBatchEntry>();
  /** Batches by when the first lease in them ends. */
  readonly #ends = new Timeline();
  /** Redelivered messages: position to batch. */
  readonly #redelivered = new Map<number, number>();
  #count = 0;

  get size(): number {
    return this.#batches.size;
  }

  /** How many messages are leased. */
  get count(): number {
    return this.#count;
  }

  get(batch: number): LeasedBatchEntry | undefined {
    return this.#batches.get(batch);
  }

  /** Oldest batch first. */
  batches(): MapIterator<LeasedBatchEntry> {
    return this.#batches.values();
  }

  /** Adds a batch, or replaces what is left of it; nothing left removes it. */
  put(entry: LeasedBatchEntry): void {
    const before = this.#batches.get(entry.batch);
    this.#count += entry.items.length - (before?.items.length ?? 0);
    if (before?.isRedelivery === true) for (const { position } of before.items) this.#redelivered.delete(position);
    if (entry.items.length === 0) {
      this.#batches.delete(entry.batch);
      this.#ends.delete(entry.batch);
      return;
    }
    this.#batches.set(entry.batch, entry);
    if (entry.isRedelivery) for (const { position } of entry.items) this.#redelivered.set(position, entry.batch);
    this.#ends.set(entry.batch, firstEnd(entry.items));
  }

  delete(batch: number): void {
    const entry = this.#batches.get(batch);
    if (entry !== undefined) this.put(withItems(entry, []));
  }

  /** The batch that holds a message which was leased before. */
  batchOfRedelivered(position: number): LeasedBatchEntry | undefined {
    const batch = this.#redelivered.get(position);
    return batch === undefined ? undefined : this.#batches.get(batch);
  }

  /** When the first lease ends. */
  nextEnd(): EpochMs | undefined {
    return this.#ends.first()?.at;
  }

  /** At most `limit` leases that have ended, oldest end first. */
  ended(now: EpochMs, limit: number): (LeasedItem & { readonly batch: number })[] {
    const found: (LeasedItem & { readonly batch: number })[] = [];
    // Every batch found has at least one such lease, so `limit` batches are enough.
    for (const { key } of this.#ends.due(now, limit)) {
      for (const item of this.#batches.get(key)?.items ?? []) {
        if (item.endsAt <= now) found.push(Object.assign({ batch: key }, item));
      }
    }
    return found.toSorted((a, b) => a.endsAt - b.endsAt).slice(0, limit);
  }
}

function firstEnd(items: readonly LeasedItem[]): EpochMs {
  let end = Number.POSITIVE_INFINITY;
  for (const { endsAt } of items) if (endsAt < end) end = endsAt;
  return epochMs(end);
}

/** Most batches are a few runs of positions delivered for the first time, with one end: such a batch takes a byte or two a message. */
export function writeLease(writer: ByteWriter, entry: LeasedBatchEntry): void {
  const { items } = entry;
  writer.text(entry.holder).number(entry.isRedelivery ? 1 : 0);
  writeRuns(writer, runsOf(items));
  writeColumn(writer, items, ({ attempts }) => attempts);
  writeColumn(writer, items, ({ size }) => size);
  writeColumn(writer, items, ({ endsAt }) => endsAt);
}

export function readLease(reader: ByteReader, batch: number): LeasedBatchEntry {
  const holder = reader.text() as Holder;
  const isRedelivery = reader.number() === 1;
  const positions = readRuns(reader).flatMap(({ first, count }) =>
    Array.from({ length: count }, (_, index) => first + index),
  );
  const attempts = readColumn(reader, positions.length);
  const sizes = readColumn(reader, positions.length);
  const ends = readColumn(reader, positions.length);
  const items = positions.map((position, index) => ({
    position,
    attempts: attempts[index] ?? 1,
    size: sizes[index] ?? 0,
    endsAt: epochMs(ends[index] ?? 0),
  }));
  return leasedBatch({ batch, holder, isRedelivery, items });
}

function runsOf(items: readonly LeasedItem[]): Run[] {
  const runs: { first: number; count: number; storedAt: EpochMs }[] = [];
  for (const { position } of items) {
    const last = runs.at(-1);
    if (last !== undefined && last.first + last.count === position) last.count += 1;
    else runs.push({ first: position, count: 1, storedAt: epochMs(0) });
  }
  return runs;
}

/** One number where all are the same. */
function writeColumn(writer: ByteWriter, items: readonly LeasedItem[], value: (item: LeasedItem) => number): void {
  const [first] = items;
  const uniform = first === undefined || items.every((item) => value(item) === value(first));
  writer.number(uniform ? 1 : 0);
  let before = 0;
  for (const item of uniform ? items.slice(0, 1) : items) {
    writer.signed(value(item) - before);
    before = value(item);
  }
}

function readColumn(reader: ByteReader, count: number): number[] {
  if (reader.number() === 1) return Array<number>(count).fill(count === 0 ? 0 : reader.signed());
  let value = 0;
  return Array.from({ length: count }, () => (value += reader.signed()));
}
