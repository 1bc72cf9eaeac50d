// Who waits at which queue for a message to arrive. One arrival wakes one of them: it looks, and when there is more than it
// takes it wakes the next, so that a thousand who wait cost a message no more than one does.
//
// A poll that was woken owes a look. Whatever arrives from the moment it begins to look counts for another look, so nothing
// that comes while the store is asked is missed; and a poll that leaves with a look owed passes it on.

import type { EpochMs, QueueId } from "../core/index.ts";
import type { Alarms } from "./alarms.ts";

/** One who waits. Disposing leaves the queue. */
export interface LongPoll extends Disposable {
  /** Says that it looks now. */
  look(): void;
  /** Resolves when it is woken, was woken since it last looked, when the time has come or the signal is aborted. */
  sleep(until: EpochMs, signal: AbortSignal | undefined): Promise<void>;
}

interface Waiting {
  owesLook: boolean;
  resume: (() => void) | undefined;
}

export class LongPolls {
  readonly #alarms: Alarms;
  readonly #queues = new Map<QueueId, Set<Waiting>>();
  #number = 0;

  constructor(alarms: Alarms) {
    this.#alarms = alarms;
  }

  /** Queues at which somebody waits. */
  queues(): Iterable<QueueId> {
    return this.#queues.keys();
  }

  join(queue: QueueId): LongPoll {
    const waiting: Waiting = { owesLook: false, resume: undefined };
    let all = this.#queues.get(queue);
    if (all === undefined) this.#queues.set(queue, (all = new Set()));
    all.add(waiting);
    const key = `pull:${(this.#number += 1)}`;
    return {
      look: () => (waiting.owesLook = false),
      sleep: async (until, signal) => await this.#sleep(waiting, key, until, signal),
      [Symbol.dispose]: () => {
        this.#leave(queue, waiting);
        if (waiting.owesLook) this.wake(queue);
      },
    };
  }

  /** The queue may have something: one who waits looks, the longest waiting first. */
  wake(queue: QueueId): void {
    for (const waiting of this.#queues.get(queue) ?? []) {
      if (waiting.owesLook) continue;
      wakeUp(waiting);
      return;
    }
  }

  /** Everybody looks. */
  wakeAll(queue: QueueId): void {
    for (const waiting of this.#queues.get(queue) ?? []) wakeUp(waiting);
  }

  #leave(queue: QueueId, waiting: Waiting): void {
    const all = this.#queues.get(queue);
    all?.delete(waiting);
    if (all?.size === 0) this.#queues.delete(queue);
  }

  async #sleep(waiting: Waiting, key: string, until: EpochMs, signal: AbortSignal | undefined): Promise<void> {
    if (waiting.owesLook || signal?.aborted === true) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const resume = (): void => resolve();
    waiting.resume = resume;
    this.#alarms.set(key, until, resume);
    signal?.addEventListener("abort", resume);
    await promise;
    waiting.resume = undefined;
    this.#alarms.clear(key);
    signal?.removeEventListener("abort", resume);
  }
}

function wakeUp(waiting: Waiting): void {
  waiting.owesLook = true;
  waiting.resume?.();
}
