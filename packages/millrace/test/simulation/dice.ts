// Random choices from a seed. Each choice is named, so that taking one operation out of a history leaves the others' luck alone.

import type { Random } from "../../src/core/index.ts";

export class Dice implements Random {
  #state: number;

  constructor(seed: number, name: string) {
    let state = (seed ^ 0x811c9dc5) >>> 0;
    for (let index = 0; index < name.length; index += 1) {
      state = Math.imul(state ^ name.charCodeAt(index), 0x01000193) >>> 0;
    }
    this.#state = state;
  }

  /** From 0 up to, not including, 1. */
  next(): number {
    // mulberry32
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  /** A whole number from `min` to `max`, both included. */
  between(min: number, max: number): number {
    return min + Math.floor(this.next() * (max - min + 1));
  }

  /** Mostly small, at times up to `max`. */
  skewed(max: number): number {
    const luck = this.next();
    return Math.floor(luck * luck * luck * (max + 1));
  }

  pick<T>(choices: readonly T[]): T {
    const chosen = choices[Math.floor(this.next() * choices.length)];
    if (chosen === undefined) throw new RangeError("nothing to choose from");
    return chosen;
  }

  bytes(count: number): Uint8Array {
    return Uint8Array.from({ length: count }, () => this.between(0, 255));
  }
}
