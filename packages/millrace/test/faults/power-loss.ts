// What a disk may hold after the power fails: everything that was synced, and of the rest any part, in any order, torn anywhere.

import type { DiskChange } from "./disk-record.ts";
import { DiskImage } from "./disk-record.ts";

/** Writes are torn at multiples of this; a sector is written or not. */
const sectorBytes = 512;

/** Follows a record; tells at any point what may be left. */
export class PowerLoss {
  readonly #durable = new DiskImage();
  /** What was done since, by file, in order. */
  #pending: DiskChange[] = [];

  follow(change: DiskChange): void {
    switch (change.kind) {
      case "sync":
        // Names are journalled: whatever is synced takes with it what became of names before.
        for (const each of this.#pending) {
          if (each.file === change.file || each.kind === "unlink") this.#durable.apply(each);
        }
        this.#pending = this.#pending.filter((each) => each.file !== change.file && each.kind !== "unlink");
        return;
      case "failedSync":
        // The kernel says so once and forgets: what was to be synced is neither on disk nor tried again.
        this.#pending = this.#pending.filter((each) => each.file !== change.file);
        return;
      case "write":
      case "truncate":
      case "unlink":
        this.#pending.push(change);
        return;
      default:
        change.kind satisfies never;
    }
  }

  /** Nothing that was not synced is left. */
  worst(): DiskImage {
    return this.#durable.copy();
  }

  /** Of what was not synced, each sector is left or not, by the throw of a coin. Length and names keep their order. */
  anyOf(random: () => number): DiskImage {
    const image = this.#durable.copy();
    const cut = Math.floor(random() * (this.#pending.length + 1));
    for (const [index, change] of this.#pending.entries()) {
      if (change.kind !== "write") {
        if (index < cut) image.apply(change);
        continue;
      }
      for (let at = 0; at < change.data.length;) {
        const size = Math.min(change.data.length - at, sectorBytes - ((change.offset + at) % sectorBytes));
        if (random() < 0.5)
          image.apply({ ...change, offset: change.offset + at, data: change.data.subarray(at, at + size) });
        at += size;
      }
    }
    return image;
  }
}

/** The same numbers for the same seed, from 0 to 1. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
