// Several messages in one row of the log: those that one queue was sent one behind the other within a transaction. A row costs as
// much as ten short messages do. The row has the position of its last message, so that the row of a message is the first at or
// behind its position.
//
//   0 u8  version
//   1 u16 number of messages
//   3 u8  check of the number
//   4     the records, each complete with its checksums (see record.ts)
//
// Where a record begins follows from the headers before it. When one of those is damaged, the others are looked for by their
// checksums, which fit nowhere but in their place: so what is damaged takes none of its neighbours with it.

import {
  headerBytes,
  isHeaderWhole,
  isWhole,
  recordLengthAt,
  recordVersions,
  version as recordVersion,
} from "./record.ts";

export const packHeadBytes = 4;
/** Messages in one row at most. */
export const packMessages = 256;
/** Bytes of a row with more than one message at most: who wants one message reads the whole row, and a damaged page takes it all. */
export const packBytes = 16_384;
/** Differs from those of a record in more than one bit. */
const packVersion = 0x5d;

/** Writes the head before records that are there already. */
export function writePackHead(target: Uint8Array, at: number, count: number): void {
  target[at] = packVersion;
  target[at + 1] = count & 255;
  target[at + 2] = count >>> 8;
  target[at + 3] = checkOf(count & 255, count >>> 8);
}

/** Whether a message's row holds a pack, or what may once have been one: anything but a single message. */
export function isPack(data: Uint8Array | undefined): data is Uint8Array {
  return isBytes(data) && !recordVersions.includes(data[0] ?? packVersion);
}

/** A flipped bit makes something else of bytes. */
function isBytes(data: unknown): data is Uint8Array {
  return data instanceof Uint8Array;
}

/** How many messages a pack holds, of which `packHeadBytes` are enough; `undefined` when that is damaged. */
export function packCount(data: Uint8Array): number | undefined {
  const [version, low = 0, high = 0, check] = data;
  const count = low + high * 256;
  return version === packVersion && check === checkOf(low, high) && count > 0 && count <= packMessages
    ? count
    : undefined;
}

/** A pack that was read. */
export class Pack {
  readonly queue: number;
  /** Position of the first message; when the head is damaged, of the first that was found. */
  readonly first: number;
  /** Position of the last message, which is the row's. */
  readonly last: number;
  readonly #data: Buffer;
  /** Where each record begins, and where the last one ends, by the headers; `undefined` when they are damaged. */
  readonly #starts: readonly number[] | undefined;
  #found: ReadonlyMap<number, number> | undefined;

  constructor(data: Uint8Array, place: { readonly position: number; readonly queue: number }) {
    this.#data = Buffer.from(data.buffer, data.byteOffset, data.length);
    this.queue = place.queue;
    this.last = place.position;
    const count = packCount(data);
    if (count === undefined) {
      this.first = Math.min(...this.#find().keys(), this.last);
    } else {
      this.first = this.last - count + 1;
      this.#starts = startsOf(data, count);
    }
  }

  has(position: number): boolean {
    return position >= this.first && position <= this.last;
  }

  /** The record at a position; `undefined` when it is not what was stored. */
  record(position: number): Buffer | undefined {
    const record = this.raw(position);
    return isWhole(record, { position, queue: this.queue }) ? record : undefined;
  }

  /** The header at a position, and perhaps more; `undefined` when it is not what was stored. */
  header(position: number): Buffer | undefined {
    const record = this.raw(position);
    return isHeaderWhole(record, { position, queue: this.queue }) ? record : undefined;
  }

  /** What is there of the record at a position, its header whole; all of the row when no header in it is; else `undefined`. */
  raw(position: number): Buffer | undefined {
    if (!this.has(position)) return undefined;
    const [start, end] = [this.#starts?.[position - this.first], this.#starts?.[position - this.first + 1]];
    if (start !== undefined && end !== undefined) {
      const record = this.#data.subarray(start, end);
      if (isHeaderWhole(record, { position, queue: this.queue })) return record;
    }
    const found = this.#find();
    const at = found.get(position);
    if (at !== undefined)
      return this.#data.subarray(at, Math.min(at + recordLengthAt(this.#data, at), this.#data.length));
    return found.size === 0 ? this.#data : undefined;
  }

  /** Where records with a whole header begin, by position: looked for byte by byte. */
  #find(): ReadonlyMap<number, number> {
    if (this.#found !== undefined) return this.#found;
    const found = new Map<number, number>();
    const data = this.#data;
    for (let at = data.indexOf(recordVersion); at !== -1; at = data.indexOf(recordVersion, at + 1)) {
      if (at + headerBytes > data.length) break;
      const header = data.subarray(at, at + headerBytes);
      for (let back = 0; back < packMessages && back < this.last; back += 1) {
        const position = this.last - back;
        if (isHeaderWhole(header, { position, queue: this.queue })) found.set(position, at);
      }
    }
    return (this.#found = found);
  }
}

function startsOf(data: Uint8Array, count: number): readonly number[] | undefined {
  const starts: number[] = [packHeadBytes];
  let at = packHeadBytes;
  for (let index = 0; index < count; index += 1) {
    if (at + headerBytes > data.length) return undefined;
    at += recordLengthAt(data, at);
    starts.push(at);
  }
  return at === data.length ? starts : undefined;
}

/** Of whatever number: a flipped bit in either of them, or in the check, shows. */
function checkOf(low: number, high: number): number {
  return low ^ high ^ 0x96;
}
