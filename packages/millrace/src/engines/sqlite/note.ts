// A note: what one transaction changed in the memory of the store thread, as facts that can simply be taken over: how each changed
// queue stands, what came in, what is leased, what is dead. It is the last row a transaction adds to the log, so a commit that
// touches a thousand queues writes one row for all of them instead of one each. Replaying the notes since the last fold, in order,
// over what the tables say, gives the memory back.

import { crc32 } from "node:zlib";
import { MillraceError } from "../../core/index.ts";
import { ByteReader } from "./bytes.ts";
import type { ByteWriter } from "./bytes.ts";
import type { DeadRun } from "./dead-rows.ts";
import { readLease, writeLease } from "./lease-book.ts";
import type { LeasedBatchEntry } from "./lease-book.ts";
import type { QueueCounters } from "./queue-state.ts";
import { readRuns, writeRuns } from "./run-list.ts";
import type { Run } from "./run-list.ts";

export interface QueueFacts {
  readonly number: number;
  readonly head: number;
  readonly freshCount: number;
  readonly laterCount: number;
  readonly counters: QueueCounters;
  /** Fresh messages that came in. */
  readonly appended: readonly Run[];
}

export interface LeaseFact {
  readonly queue: number;
  readonly batch: number;
  /** `undefined`: nothing of it is leased any more. */
  readonly entry: LeasedBatchEntry | undefined;
}

export interface Note {
  readonly nextBatch: number;
  readonly queues: readonly QueueFacts[];
  readonly leases: readonly LeaseFact[];
  readonly dead: readonly DeadRun[];
}

/** As in a message's record: no flipped bit makes one of the other. */
const version = 0x62;
/** Of format 1: without a checksum. */
const uncheckedVersion = 1;
const sumBytes = 4;
const counterNames = [
  "count",
  "bytes",
  "accepted",
  "acked",
  "deadLettered",
  "expired",
  "purged",
  "dropped",
] as const satisfies readonly (keyof QueueCounters)[];

/** The bytes are valid until the writer is used again; they end in a checksum, which fits no other position of the log. */
export function writeNote(writer: ByteWriter, note: Note, position: number): Uint8Array {
  writer.clear().number(version).number(note.nextBatch).number(note.queues.length);
  for (const queue of note.queues) {
    writer.number(queue.number).number(queue.head).number(queue.freshCount).number(queue.laterCount);
    for (const name of counterNames) writer.number(queue.counters[name]);
    writeRuns(writer, queue.appended);
  }
  writer.number(note.leases.length);
  for (const { queue, batch, entry } of note.leases) {
    writer
      .number(queue)
      .number(batch)
      .number(entry === undefined ? 0 : 1);
    if (entry !== undefined) writeLease(writer, entry);
  }
  writer.number(note.dead.length);
  for (const { first, count } of note.dead) writer.number(first).number(count);
  const sum = crc32(writer.view(), position % 2 ** 32);
  return writer.u32(sum).view();
}

/** Throws `DATA_DAMAGED`. */
export function readNote(bytes: Uint8Array, position: number): Note {
  try {
    if (bytes[0] === uncheckedVersion) return parse(new ByteReader(bytes));
    const content = bytes.subarray(0, -sumBytes);
    const sum = new DataView(bytes.buffer, bytes.byteOffset + content.length, sumBytes).getUint32(0, true);
    if (sum !== crc32(content, position % 2 ** 32)) throw new RangeError("the checksum is another");
    return parse(new ByteReader(content));
  } catch (error) {
    throw new MillraceError("DATA_DAMAGED", "A note in the log cannot be read", { cause: error });
  }
}

function parse(reader: ByteReader): Note {
  const found = reader.number();
  if (found !== version && found !== uncheckedVersion) throw new RangeError(`unknown version ${found}`);
  const nextBatch = reader.number();
  const queues = repeat(reader, (): QueueFacts => {
    const [number, head, freshCount, laterCount] = [reader.number(), reader.number(), reader.number(), reader.number()];
    const counters = Object.fromEntries(
      counterNames.map((name) => [name, reader.number()]),
    ) as unknown as QueueCounters;
    return { number, head, freshCount, laterCount, counters, appended: readRuns(reader) };
  });
  const leases = repeat(reader, (): LeaseFact => {
    const [queue, batch, isLeased] = [reader.number(), reader.number(), reader.number()];
    return { queue, batch, entry: isLeased === 1 ? readLease(reader, batch) : undefined };
  });
  const dead = repeat(reader, () => ({ first: reader.number(), count: reader.number() }));
  if (!reader.isAtEnd) throw new RangeError("the record is too long");
  return { nextBatch, queues, leases, dead };
}

function repeat<T>(reader: ByteReader, read: () => T): T[] {
  return Array.from({ length: reader.number() }, read);
}
