// The client's time under the test's control.

import { setImmediate as nextTurn } from "node:timers";
import type { Time } from "../../src/index.ts";
import { Watched } from "./deadline.ts";

interface Pending {
  readonly ms: number;
  readonly callback: () => void;
}

/**
 * Timers stand until the test fires them. `instantBelowMs`: those that are shorter fire by themselves in the next turn of
 * the event loop, and the clock moves on by as much: pauses pass at once, request timeouts (30,000) never come.
 */
export class TestTime implements Time {
  readonly #instantBelowMs: number;
  readonly #pending = new Set<Pending>();
  /** Every timer asked for, in ms. */
  readonly asked = new Watched<number>();
  #now = 1_800_000_000_000;

  constructor({ instantBelowMs = 0 }: { readonly instantBelowMs?: number } = {}) {
    this.#instantBelowMs = instantBelowMs;
  }

  now(): number {
    return this.#now;
  }

  after(ms: number, callback: () => void): () => void {
    const pending = { ms, callback };
    this.#pending.add(pending);
    this.asked.push(ms);
    if (ms < this.#instantBelowMs) {
      nextTurn(() => {
        this.#fire(pending);
      });
    }
    return () => void this.#pending.delete(pending);
  }

  /** Fires the timers set for exactly this span, and moves the clock by it. */
  fire(ms: number): void {
    const due = [...this.#pending].filter((pending) => pending.ms === ms);
    if (due.length === 0) throw new Error(`no timer of ${ms} ms, only ${this.pending.join(", ")}`);
    this.#now += ms;
    for (const pending of due) this.#fire(pending, 0);
  }

  move(ms: number): void {
    this.#now += ms;
  }

  get pending(): readonly number[] {
    return [...this.#pending].map(({ ms }) => ms);
  }

  #fire(pending: Pending, moveBy = pending.ms): void {
    if (!this.#pending.delete(pending)) return;
    this.#now += moveBy;
    pending.callback();
  }
}
