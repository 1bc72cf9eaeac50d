// Remembers the ids that clients gave to messages which were taken in lately, so that a send repeated after its answer was lost
// is recognised, whatever became of the message meanwhile.
//
// Bounded: ids are kept in two generations; when the young one is full it becomes the old one, and what was in the old one is
// forgotten. What came in before `completeSince` may be forgotten, or was taken in by a server before this one: for that the
// store has to be asked.

import { epochMs } from "../core/index.ts";
import type { Clock, EpochMs, MessageId, QueueId } from "../core/index.ts";

/** Ids of one generation. An id takes about 100 bytes, so 20 MB at most, and only where clients give ids. */
const generationSize = 100_000;

class Generation {
  readonly begun: EpochMs;
  readonly #ids = new Map<QueueId, Set<MessageId>>();
  #count = 0;

  constructor(begun: EpochMs) {
    this.begun = begun;
  }

  get count(): number {
    return this.#count;
  }

  has(queue: QueueId, id: MessageId): boolean {
    return this.#ids.get(queue)?.has(id) === true;
  }

  add(queue: QueueId, id: MessageId): void {
    let ids = this.#ids.get(queue);
    if (ids === undefined) this.#ids.set(queue, (ids = new Set()));
    ids.add(id);
    this.#count += 1;
  }

  forget(queue: QueueId): void {
    this.#ids.delete(queue);
  }
}

export class AcceptedIds {
  readonly #clock: Clock;
  readonly #size: number;
  #young: Generation;
  #old: Generation;
  #completeSince: EpochMs;
  /** Ids of sends under way, with what tells when their outcome is known. */
  readonly #underWay = new Map<QueueId, Map<MessageId, Promise<void>>>();

  /** `size`: for tests. */
  constructor(clock: Clock, size = generationSize) {
    this.#clock = clock;
    this.#size = size;
    this.#completeSince = clock.now();
    this.#young = new Generation(this.#completeSince);
    this.#old = this.#young;
  }

  /** Every message that was taken in at or after this moment under an id of its client's is known here. */
  get completeSince(): EpochMs {
    return this.#completeSince;
  }

  has(queue: QueueId, id: MessageId): boolean {
    return this.#young.has(queue, id) || this.#old.has(queue, id);
  }

  /**
   * Waits until none of these ids is being sent by somebody else, and then marks them as being sent, until the answer is called.
   */
  async claim(queue: QueueId, ids: readonly MessageId[]): Promise<() => void> {
    for (;;) {
      const others = ids.map((id) => this.#underWay.get(queue)?.get(id)).filter((other) => other !== undefined);
      if (others.length === 0) break;
      await Promise.all(others);
    }
    const { promise, resolve } = Promise.withResolvers<void>();
    let claimed = this.#underWay.get(queue);
    if (claimed === undefined) this.#underWay.set(queue, (claimed = new Map()));
    for (const id of ids) claimed.set(id, promise);
    return () => {
      for (const id of ids) claimed.delete(id);
      if (claimed.size === 0 && this.#underWay.get(queue) === claimed) this.#underWay.delete(queue);
      resolve();
    };
  }

  add(queue: QueueId, ids: readonly MessageId[]): void {
    for (const id of ids) {
      if (this.has(queue, id)) continue;
      if (this.#young.count >= this.#size) this.#turn();
      this.#young.add(queue, id);
    }
  }

  /** Something may have been taken in that is not known here. */
  doubt(): void {
    this.#completeSince = epochMs(this.#clock.now() + 1);
  }

  /** The queue is gone. */
  forget(queue: QueueId): void {
    this.#young.forget(queue);
    this.#old.forget(queue);
  }

  #turn(): void {
    this.#old = this.#young;
    // Of what came in within this same millisecond some is in the generation before.
    this.#young = new Generation(epochMs(this.#clock.now() + 1));
    if (this.#old.begun > this.#completeSince) this.#completeSince = this.#old.begun;
  }
}
