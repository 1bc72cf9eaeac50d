// Acknowledgements of whole batches that go to the store as one: a settlement of several batches costs the store, and the way to
// it, little more than a settlement of one.
//
// Whoever delivers says when they go: at once, or together with what else it is about to ask the store for. They wait for that for
// a few milliseconds and a few batches at the most. Nobody waits for them meanwhile: the next batches are delivered.

import { after, milliseconds } from "../core/index.ts";
import type { BatchId, Clock, SettleReceipt } from "../core/index.ts";
import type { Alarms } from "./alarms.ts";

const mostBatches = 8;
const waitMs = milliseconds(5);

export interface AcksTogetherOptions {
  readonly clock: Clock;
  readonly alarms: Alarms;
  readonly alarmKey: string;
  readonly settle: (batches: readonly BatchId[]) => Promise<SettleReceipt>;
}

interface Waiting {
  readonly batches: BatchId[];
  readonly settled: PromiseWithResolvers<SettleReceipt>;
}

export class AcksTogether {
  readonly #options: AcksTogetherOptions;
  #waiting: Waiting | undefined;

  constructor(options: AcksTogetherOptions) {
    this.#options = options;
  }

  /** Answers and throws what the settlement does that the batch is part of. */
  async add(batch: BatchId): Promise<SettleReceipt> {
    const waiting = (this.#waiting ??= this.#begin());
    waiting.batches.push(batch);
    if (waiting.batches.length >= mostBatches) this.send();
    return await waiting.settled.promise;
  }

  /** Sends what waits. */
  send(): void {
    const waiting = this.#waiting;
    if (waiting === undefined) return;
    this.#waiting = undefined;
    const { alarms, alarmKey, settle } = this.#options;
    alarms.clear(alarmKey);
    waiting.settled.resolve(settle(waiting.batches));
  }

  #begin(): Waiting {
    const { alarms, alarmKey, clock } = this.#options;
    alarms.set(alarmKey, after(clock.now(), waitMs), () => this.send());
    return { batches: [], settled: Promise.withResolvers() };
  }
}
