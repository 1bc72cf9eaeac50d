// A clock and timers under the test's control. Time moves only in `advance`.

import { setImmediate } from "node:timers/promises";
import { after, epochMs, milliseconds } from "../../src/core/index.ts";
import type { Clock, EpochMs, Timers } from "../../src/core/index.ts";

interface Pending {
  readonly at: EpochMs;
  readonly callback: () => void;
}

export class SimulatedTime implements Clock, Timers {
  #now = epochMs(1_800_000_000_000);
  readonly #pending = new Set<Pending>();

  now(): EpochMs {
    return this.#now;
  }

  at(at: EpochMs, callback: () => void): { cancel(): void } {
    const pending = { at, callback };
    this.#pending.add(pending);
    return { cancel: () => void this.#pending.delete(pending) };
  }

  /** Lets everything that is ready to run do so, without moving the clock. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < 25; turn += 1) await setImmediate();
  }

  /** Moves the clock, stopping at every timer on the way. */
  async advance(ms: number): Promise<void> {
    const end = after(this.#now, milliseconds(ms));
    await this.settle();
    for (;;) {
      const due = [...this.#pending].filter(({ at }) => at <= end).toSorted((a, b) => a.at - b.at)[0];
      if (due === undefined) break;
      this.#pending.delete(due);
      if (due.at > this.#now) this.#now = due.at;
      due.callback();
      await this.settle();
    }
    this.#now = end;
    await this.settle();
  }
}
