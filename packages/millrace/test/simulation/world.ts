// Simulated time. Everything that happens is an event on one list; between two events all promises settle.
//
// `mono` never goes back and is what events are ordered by; the clock is `mono` plus an offset that a clock jump changes. With one
// server, the store goes by that server's clock, which follows the wall clock back only at a restart (`steadyClock`). With several,
// the store is a machine of its own, and its clock may go back at any time; for simplicity all servers go by it.

import { epochMs } from "../../src/core/index.ts";
import type { Clock, EpochMs } from "../../src/core/index.ts";
import { Violation } from "./violation.ts";

interface Event {
  readonly at: number;
  readonly order: number;
  /** `undefined` once cancelled. */
  run: (() => void) | undefined;
}

const firstWallMs = 1_800_000_000_000;
/** A history has some thousand events; one that has this many goes round in circles. */
const mostEvents = 500_000;

export class World implements Clock {
  mono = 0;
  /** Nothing fails, is delayed or breaks off from here on. */
  calm = false;
  /** The first law that was broken. */
  failure: Violation | undefined;
  /** Milliseconds in which servers stood still, all told: what a server knows may be that much out of date. */
  frozenMs = 0;
  readonly #steady: boolean;
  #wallOffset = firstWallMs;
  #offset = firstWallMs;
  #events = 0;
  #order = 0;
  readonly #heap: Event[] = [];
  /** When the offset changed to what; ascending. */
  readonly #jumps: { readonly mono: number; readonly offset: number }[] = [{ mono: 0, offset: firstWallMs }];

  constructor(options: { readonly servers: number }) {
    this.#steady = options.servers === 1;
  }

  now(): EpochMs {
    return epochMs(this.mono + this.#offset);
  }

  /** Sets the wall clock, forward or back. */
  jump(ms: number): void {
    this.#wallOffset += ms;
    if (!this.#steady || this.#wallOffset > this.#offset) this.#follow();
  }

  /** A server starts: it goes by the wall clock. */
  serverStarts(): void {
    if (this.#wallOffset !== this.#offset) this.#follow();
  }

  #follow(): void {
    this.#offset = this.#wallOffset;
    this.#jumps.push({ mono: this.mono, offset: this.#offset });
  }

  get wentBack(): boolean {
    return this.#jumps.some(({ offset }, index) => offset < (this.#jumps[index - 1]?.offset ?? offset));
  }

  /** The longest way the clock was set forward at once. */
  get longestLeapMs(): number {
    return Math.max(0, ...this.#jumps.map(({ offset }, index) => offset - (this.#jumps[index - 1]?.offset ?? offset)));
  }

  /** Milliseconds the clock was set back, all told. */
  get backMs(): number {
    let total = 0;
    this.#jumps.forEach(({ offset }, index) => {
      total += Math.max(0, (this.#jumps[index - 1]?.offset ?? offset) - offset);
    });
    return total;
  }

  /** What the wall clock showed at some time from `since` until now, at the least and at the most. */
  wallSince(since: number): { readonly least: number; readonly most: number } {
    let least = Number.POSITIVE_INFINITY;
    let most = Number.NEGATIVE_INFINITY;
    this.#jumps.forEach(({ mono, offset }, index) => {
      const from = Math.max(mono, since);
      const to = this.#jumps[index + 1]?.mono ?? this.mono;
      if (to < from) return;
      least = Math.min(least, from + offset);
      most = Math.max(most, to + offset);
    });
    return { least, most };
  }

  /** Runs something `delayMs` from now, after what is due at the same time already. */
  post(delayMs: number, run: () => void): { cancel(): void } {
    const event: Event = { at: this.mono + Math.max(0, delayMs), order: (this.#order += 1), run };
    this.#push(event);
    return { cancel: () => void (event.run = undefined) };
  }

  /** Breaks the history off at the first broken law. */
  fail(violation: Violation): void {
    this.failure ??= violation;
  }

  /** Runs events until `done`, a broken law, or `deadline`. Answers whether it was `done`. */
  async run(done: () => boolean, deadline: number): Promise<boolean> {
    await promisesSettled();
    while (this.failure === undefined) {
      if (done()) return true;
      const next = this.#heap[0];
      if (next === undefined || next.at > deadline) {
        this.mono = Math.max(this.mono, deadline);
        return false;
      }
      this.#pop();
      if (next.run === undefined) continue;
      this.mono = next.at;
      this.#events += 1;
      if (this.#events > mostEvents) {
        this.fail(new Violation("livelock", `more than ${mostEvents} events: something goes round in circles`));
        return false;
      }
      next.run();
      await promisesSettled();
    }
    return false;
  }

  get events(): number {
    return this.#events;
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let index = heap.push(event) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      const above = heap[parent];
      if (above === undefined || isBefore(above, event)) break;
      heap[index] = above;
      index = parent;
    }
    heap[index] = event;
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
      if (isBefore(last, child)) break;
      heap[index] = child;
      index = below;
    }
    heap[index] = last;
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}

/** Node runs all that is ready to run, however long the chain, before the next immediate. */
async function promisesSettled(): Promise<void> {
  await new Promise<void>((resolve) => void setImmediate(resolve));
}
