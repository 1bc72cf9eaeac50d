// Many points in time on one timer: what is due at which moment, by key. Nothing here grows with messages, only with queues.

import type { Clock, EpochMs, Timers } from "../core/index.ts";

interface Alarm {
  readonly key: string;
  readonly at: EpochMs;
  readonly callback: () => void;
}

/** A binary heap of alarms with lazy deletion: an alarm counts only while the map still holds it. */
export class Alarms implements Disposable {
  readonly #clock: Clock;
  readonly #timers: Timers;
  readonly #byKey = new Map<string, Alarm>();
  #heap: Alarm[] = [];
  #timer: { readonly at: EpochMs; cancel(): void } | undefined;
  #disposed = false;

  constructor(clock: Clock, timers: Timers) {
    this.#clock = clock;
    this.#timers = timers;
  }

  /** Calls back once at or after `at`; replaces the key's earlier alarm. */
  set(key: string, at: EpochMs, callback: () => void): void {
    if (this.#disposed) return;
    const current = this.#byKey.get(key);
    if (current?.at === at) {
      this.#byKey.delete(key);
    }
    const alarm = { key, at, callback };
    this.#byKey.set(key, alarm);
    this.#push(alarm);
    if (this.#heap.length > 64 && this.#heap.length > this.#byKey.size * 4) this.#compact();
    this.#arm();
  }

  /** As `set`, unless the key has an alarm at or before `at`. */
  setIfEarlier(key: string, at: EpochMs, callback: () => void): void {
    const current = this.#byKey.get(key);
    if (current === undefined || at < current.at) this.set(key, at, callback);
  }

  has(key: string): boolean {
    return this.#byKey.has(key);
  }

  clear(key: string): void {
    this.#byKey.delete(key);
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#byKey.clear();
    this.#heap = [];
  }

  #arm(): void {
    this.#dropDead();
    const first = this.#heap[0];
    if (first === undefined || (this.#timer !== undefined && this.#timer.at <= first.at)) return;
    this.#timer?.cancel();
    const timer = this.#timers.at(first.at, () => {
      this.#timer = undefined;
      this.#ring();
    });
    this.#timer = { at: first.at, cancel: () => timer.cancel() };
  }

  #ring(): void {
    const now = this.#clock.now();
    const due: Alarm[] = [];
    for (let first = this.#heap[0]; first !== undefined && first.at <= now; first = this.#heap[0]) {
      this.#pop();
      if (this.#byKey.get(first.key) !== first) continue;
      this.#byKey.delete(first.key);
      due.push(first);
    }
    for (const alarm of due) alarm.callback();
    if (!this.#disposed) this.#arm();
  }

  #dropDead(): void {
    for (let first = this.#heap[0]; first !== undefined && this.#byKey.get(first.key) !== first; first = this.#heap[0])
      this.#pop();
  }

  #compact(): void {
    this.#heap = [...this.#byKey.values()].toSorted((a, b) => a.at - b.at);
  }

  #push(alarm: Alarm): void {
    const heap = this.#heap;
    let index = heap.push(alarm) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      const above = heap[parent];
      if (above === undefined || above.at <= alarm.at) break;
      heap[index] = above;
      heap[parent] = alarm;
      index = parent;
    }
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    heap[0] = last;
    for (let index = 0; ;) {
      const left = 2 * index + 1;
      const right = left + 1;
      let smallest = index;
      if (dueAt(heap, left) < dueAt(heap, smallest)) smallest = left;
      if (dueAt(heap, right) < dueAt(heap, smallest)) smallest = right;
      if (smallest === index) return;
      const moved = heap[index] as Alarm;
      heap[index] = heap[smallest] as Alarm;
      heap[smallest] = moved;
      index = smallest;
    }
  }
}

function dueAt(heap: readonly Alarm[], index: number): number {
  return heap[index]?.at ?? Number.POSITIVE_INFINITY;
}
