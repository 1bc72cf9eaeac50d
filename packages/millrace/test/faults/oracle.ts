// What must be seen of a store after a history: the memory engine, told the same.

import type { EpochMs, MessageId, QueueId } from "../../src/core/index.ts";
import { openMemoryEngine } from "../../src/engines/memory/index.ts";
import { ManualClock } from "../engines/harness.ts";
import { everythingSeen } from "./history.ts";
import type { Seen, Side, Step } from "./history.ts";

/** A step as it was done: when, and to which messages in hand. */
export interface Doing {
  readonly step: Step;
  readonly held: readonly MessageId[];
  readonly at: EpochMs;
}

export class Oracle {
  readonly #clock: ManualClock;
  readonly #side: Side;
  readonly #done: Doing[] = [];

  private constructor(clock: ManualClock, side: Side) {
    this.#clock = clock;
    this.#side = side;
  }

  static async make(): Promise<Oracle> {
    const clock = new ManualClock();
    return new Oracle(clock, { engine: await openMemoryEngine({ clock }), hand: new Map() });
  }

  /** Does a step; answers what it answers. One that throws has not happened. */
  async follow(doing: Doing): Promise<unknown> {
    this.#clock.advance(doing.at - this.#clock.now());
    const scene = { clock: this.#clock, upkeep: async () => {} };
    const answer = await doing.step.run(this.#side, scene, doing.held);
    this.#done.push(doing);
    return answer;
  }

  /** Another one, to whom a step happened as well that this one was not told of: last of all, but as of its own time. */
  async with(undecided: Doing): Promise<Oracle> {
    const other = await Oracle.make();
    for (const doing of [...this.#done, undecided]) await other.follow(doing);
    return other;
  }

  async seen(now: EpochMs): Promise<Seen> {
    this.#clock.advance(now - this.#clock.now());
    return await everythingSeen(this.#side.engine);
  }

  /** Messages of a queue whose leases are in hand. */
  held(queue: QueueId): readonly MessageId[] {
    return [...this.#side.hand].filter(([, { queue: of }]) => of === queue).map(([id]) => id);
  }
}
