// Simulated time. Everything that happens is an event on one list; between two events all promises settle.
//
// `mono` never goes back and is what events are ordered by; the clock is `mono` plus an offset that a clock jump changes. All servers
// and the store go by one clock. A steady one, as `steadyClock` has it, follows the wall clock forward, and back only while no server
// runs. One that is not steady is that of a database on a machine of its own: it may go back at any time.

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
const stepsATurn = 100;

export class World implements Clock {
  mono = 0;
  /** Nothing fails, is delayed or breaks off from here on. */
  calm = false;
  /** The first law that was broken. */
  failure: Violation | undefined;
  /** Milliseconds in which servers stood still, all told: what a server knows may be that much out of date. */
  frozenMs = 0;
  /** Milliseconds the clock was set back while servers ran, all told: what they had planned is that much late. */
  backWhileRunningMs = 0;
  readonly #steady: boolean;
  #wallOffset = firstWallMs;
  #offset = firstWallMs;
  #events = 0;
  #order = 0;
  readonly #heap: Event[] = [];
  /** When the offset changed to what; ascending. */
  readonly #jumps: { readonly mono: number; readonly offset: number }[] = [{ mono: 0, offset: firstWallMs }];

  constructor(options: { readonly steadyClock: boolean }) {
    this.#steady = options.steadyClock;
  }

  now(): EpochMs {
    return epochMs(this.mono + this.#offset);
  }

  /** Sets the wall clock, forward or back. */
  jump(ms: number): void {
    this.#wallOffset += ms;
    if (this.#steady && this.#wallOffset <= this.#offset) return;
    this.backWhileRunningMs += Math.max(0, this.#offset - this.#wallOffset);
    this.#follow();
  }

  /** A server starts where none ran: it goes by the wall clock. */
  firstServerStarts(): void {
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

  /** Milliseconds the clock was set forward, all told. */
  get aheadMs(): number {
    let total = 0;
    this.#jumps.forEach(({ offset }, index) => {
      total += Math.max(0, offset - (this.#jumps[index - 1]?.offset ?? offset));
    });
    return total;
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
    return await stepByStep(() => {
      if (this.failure !== undefined) return false;
      if (done()) return true;
      for (;;) {
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
        return undefined;
      }
    });
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

/**
 * Takes one step after the other until one has an answer. Each is an immediate: before the next one, Node runs all promises that are
 * ready, however long the chain, and reports those that are left rejected. Many at once, because a turn of the event loop, with its
 * system calls, takes longer than most steps.
 */
async function stepByStep<T>(step: () => T | undefined): Promise<T> {
  return await new Promise<T>((resolve, reject) => {
    let over = false;
    const take = (): void => {
      if (over) return;
      try {
        const answer = step();
        if (answer === undefined) return;
        over = true;
        resolve(answer);
      } catch (error) {
        over = true;
        reject(error);
      }
    };
    const turn = (): void => {
      if (over) return;
      for (let count = 0; count < stepsATurn; count += 1) setImmediate(take);
      setImmediate(turn);
    };
    turn();
  });
}
