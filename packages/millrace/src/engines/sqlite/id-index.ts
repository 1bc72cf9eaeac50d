// Where in the log the messages with an id are. Made when somebody asks whether messages are stored already, and read on from there
// for the next one who does: an import asks a thousand times, and so do all the senders of a server that was started again. Says
// where to look; whether the message is still there, and in which queue, is for whoever looks.
//
// An open hash table, 12 bytes a place and at most half of them taken: an object for each id would take five times as much.

import type { EpochMs } from "../../core/index.ts";

const firstPlaces = 4_096;

export class IdIndex {
  /** Every message from this position on, up to `next`, is in here. */
  readonly from: number;
  next: number;
  /** Gone a while after this. */
  usedAt: EpochMs;
  #count = 0;
  #hashes = new Uint32Array(firstPlaces);
  /** 0: the place is free. */
  #positions = new Float64Array(firstPlaces);

  constructor(from: number, now: EpochMs) {
    this.from = from;
    this.next = from;
    this.usedAt = now;
  }

  get count(): number {
    return this.#count;
  }

  /** `id`: its 16 bytes. */
  add(id: Uint8Array, position: number): void {
    if ((this.#count + 1) * 2 > this.#positions.length) this.#grow();
    this.#put(hashOf(id), position);
    this.#count += 1;
  }

  /** Where messages with this id may be. */
  *positionsOf(id: Uint8Array): Generator<number> {
    const hash = hashOf(id);
    const mask = this.#positions.length - 1;
    for (let place = hash & mask; ; place = (place + 1) & mask) {
      const position = this.#positions[place] ?? 0;
      if (position === 0) return;
      if (this.#hashes[place] === hash) yield position;
    }
  }

  #put(hash: number, position: number): void {
    const mask = this.#positions.length - 1;
    let place = hash & mask;
    while (this.#positions[place] !== 0) place = (place + 1) & mask;
    this.#hashes[place] = hash;
    this.#positions[place] = position;
  }

  #grow(): void {
    const [hashes, positions] = [this.#hashes, this.#positions];
    this.#hashes = new Uint32Array(hashes.length * 2);
    this.#positions = new Float64Array(positions.length * 2);
    for (const [place, position] of positions.entries()) if (position !== 0) this.#put(hashes[place] ?? 0, position);
  }
}

/** Of all bytes: ids that senders choose may be alike in any of them. */
function hashOf(id: Uint8Array): number {
  let hash = 0x811c_9dc5;
  for (const byte of id) hash = Math.imul(hash ^ byte, 0x0100_0193);
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b_3c6d);
  return (hash ^ (hash >>> 13)) >>> 0;
}
