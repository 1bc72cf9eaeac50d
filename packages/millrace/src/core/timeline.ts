// Keys in order of a point in time each: what is due next, and what is due by now. A heap with lazy deletion, so that
// hundreds of thousands of keys need no timer each and every step costs O(log n).

import type { EpochMs } from "./time.ts";

interface Entry {
  readonly key: number;
  readonly at: EpochMs;
}

export class Timeline {
  /** A binary heap by `at`, then `key`. Entries that `#current` no longer confirms are skipped when they reach the top. */
  #heap: Entry[] = [];
  readonly #current = new Map<number, EpochMs>();

  get size(): number {
    return this.#current.size;
  }

  has(key: number): boolean {
    return this.#current.has(key);
  }

  /** When the key is due; `undefined` when it is not in here. */
  timeOf(key: number): EpochMs | undefined {
    return this.#current.get(key);
  }

  /** Adds a key, or moves it. */
  set(key: number, at: EpochMs): void {
    if (this.#current.get(key) === at) return;
    this.#current.set(key, at);
    if (this.#heap.length > 2 * this.#current.size + 64) this.#rebuild();
    else this.#push({ key, at });
  }

  delete(key: number): boolean {
    return this.#current.delete(key);
  }

  clear(): void {
    this.#heap = [];
    this.#current.clear();
  }

  /** The earliest key and its time; ties go to the smaller key. */
  first(): Entry | undefined {
    for (;;) {
      const top = this.#heap[0];
      if (top === undefined || this.#current.get(top.key) === top.at) return top;
      this.#pop();
    }
  }

  /** Removes and returns the earliest key if it is due by `now`. */
  takeDue(now: EpochMs): Entry | undefined {
    const top = this.first();
    if (top === undefined || top.at > now) return undefined;
    this.#pop();
    this.#current.delete(top.key);
    return top;
  }

  /** At most `limit` keys due by `now`, earliest first, left in place. */
  due(now: EpochMs, limit: number): Entry[] {
    const found: Entry[] = [];
    while (found.length < limit) {
      const next = this.takeDue(now);
      if (next === undefined) break;
      found.push(next);
    }
    for (const { key, at } of found) this.set(key, at);
    return found;
  }

  keys(): MapIterator<number> {
    return this.#current.keys();
  }

  #rebuild(): void {
    this.#heap = Array.from(this.#current, ([key, at]) => ({ key, at })).toSorted(
      (a, b) => a.at - b.at || a.key - b.key,
    );
  }

  #push(entry: Entry): void {
    const heap = this.#heap;
    let index = heap.length;
    heap.push(entry);
    while (index > 0) {
      const above = (index - 1) >> 1;
      const parent = heap[above];
      if (parent === undefined || !isBefore(entry, parent)) break;
      heap[index] = parent;
      index = above;
    }
    heap[index] = entry;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let index = 0;
    for (;;) {
      let below = 2 * index + 1;
      let child = heap[below];
      if (child === undefined) break;
      const right = heap[below + 1];
      if (right !== undefined && isBefore(right, child)) {
        child = right;
        below += 1;
      }
      if (!isBefore(child, last)) break;
      heap[index] = child;
      index = below;
    }
    heap[index] = last;
  }
}

function isBefore(a: Entry, b: Entry): boolean {
  return a.at < b.at || (a.at === b.at && a.key < b.key);
}
