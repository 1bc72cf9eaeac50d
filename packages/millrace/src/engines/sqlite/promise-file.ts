// What was promised: how far the database had come when the store last answered, in a file of its own beside it.
//
// A database that has lost its newest commits, because the write-ahead log was cut off, damaged or deleted, or an older copy was
// put in its place, looks like any other: as if they had never been. This file tells. It is written after a commit is on disk and
// before anybody hears of it, and never synced, so it costs a microsecond and may only be behind: after the end of the process
// it is exact, after a power failure it may be old, and when it cannot be read there is nothing to compare.

import { closeSync, constants, openSync, readSync, writeSync } from "node:fs";
import { join } from "node:path";
import { crc32 } from "node:zlib";

export interface Promised {
  /** The last position of the log. */
  readonly position: number;
  /** Number of the next leased batch. */
  readonly nextBatch: number;
  /** Revision of the catalog. */
  readonly revision: number;
  /** A sync failed: the write-ahead log may be on disk only in parts, though it reads well until the power fails. */
  readonly isDoubtful: boolean;
}

const version = 1;
const numbers = 5;
const checkedBytes = numbers * 8;
const fileBytes = checkedBytes + 4;
const openFlags = constants.O_RDWR | constants.O_CREAT;

export class PromiseFile {
  /** What it said when it was opened; `undefined`: nothing that can be read. */
  readonly before: Promised | undefined;
  readonly #file: number;
  readonly #bytes = Buffer.alloc(fileBytes);

  private constructor(file: number) {
    this.#file = file;
    const read = readSync(file, this.#bytes, 0, fileBytes, 0);
    this.before = read === fileBytes ? parse(this.#bytes) : undefined;
  }

  /** Opens the file of a data folder, or makes it. `undefined` when it cannot be had: the store does without. */
  static open(folder: string): PromiseFile | undefined {
    try {
      return new PromiseFile(openSync(promisePath(folder), openFlags, 0o600));
    } catch {
      return undefined;
    }
  }

  /** Never throws: an old promise is only a weaker one. */
  write({ position, nextBatch, revision, isDoubtful }: Promised): void {
    const bytes = this.#bytes;
    let at = 0;
    for (const number of [version, position, nextBatch, revision, isDoubtful ? 1 : 0])
      at = bytes.writeDoubleLE(number, at);
    bytes.writeUInt32LE(crc32(bytes.subarray(0, checkedBytes)), at);
    try {
      writeSync(this.#file, bytes, 0, fileBytes, 0);
    } catch {
      // The disk is full or fails, and whatever is asked of the store next is told so.
    }
  }

  close(): void {
    closeSync(this.#file);
  }
}

function promisePath(folder: string): string {
  return join(folder, "promised");
}

function parse(bytes: Buffer): Promised | undefined {
  if (bytes.length !== fileBytes || bytes.readDoubleLE(0) !== version) return undefined;
  if (crc32(bytes.subarray(0, checkedBytes)) !== bytes.readUInt32LE(checkedBytes)) return undefined;
  const [position, nextBatch, revision, doubt] = [8, 16, 24, 32].map((at) => bytes.readDoubleLE(at));
  if (position === undefined || nextBatch === undefined || revision === undefined) return undefined;
  return { position, nextBatch, revision, isDoubtful: doubt === 1 };
}
