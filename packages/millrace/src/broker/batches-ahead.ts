// Batches that are leased and wait for a place to be delivered in, oldest first.

import { after, aheadFor } from "../core/index.ts";
import type { BatchId, Clock, EpochMs, LeasedBatch } from "../core/index.ts";
import type { Alarms } from "./alarms.ts";

export interface BatchAhead {
  readonly batch: BatchId;
  readonly leased: LeasedBatch;
}

export interface BatchesAheadOptions {
  readonly clock: Clock;
  readonly alarms: Alarms;
  readonly alarmKey: string;
  /** Takes back what waited too long. */
  readonly giveBack: (batches: readonly BatchAhead[]) => void;
}

export class BatchesAhead {
  readonly #options: BatchesAheadOptions;
  #waiting: (BatchAhead & { readonly until: EpochMs })[] = [];

  constructor(options: BatchesAheadOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#waiting.length;
  }

  /** How many messages are in them. */
  get messages(): number {
    return this.#waiting.reduce((sum, { leased }) => sum + leased.messages.length, 0);
  }

  add(each: BatchAhead): void {
    const until = after(this.#options.clock.now(), aheadFor);
    this.#waiting.push({ ...each, until });
    if (this.#waiting.length === 1) this.#watch(until);
  }

  take(): BatchAhead | undefined {
    return this.#waiting.shift();
  }

  /** Empties it; answers what was in it. */
  takeAll(): readonly BatchAhead[] {
    const { alarms, alarmKey } = this.#options;
    alarms.clear(alarmKey);
    const all = this.#waiting;
    this.#waiting = [];
    return all;
  }

  #watch(at: EpochMs): void {
    const { alarms, alarmKey, clock, giveBack } = this.#options;
    alarms.setIfEarlier(alarmKey, at, () => {
      const now = clock.now();
      const late = this.#waiting.filter(({ until }) => until <= now);
      this.#waiting = this.#waiting.slice(late.length);
      const [next] = this.#waiting;
      if (next !== undefined) this.#watch(next.until);
      if (late.length > 0) giveBack(late);
    });
  }
}
