// Sends together what arrives together, without a timer. Idle, the first item goes at once and alone; what arrives while a
// request is under way travels in the next one, as much as fits. Each item gets its own outcome.

import { mayBeOneOfMany, QueueError } from "./errors.ts";

export interface CoalescerOptions<Item, Result> {
  /** Carries out one request for all the items, 1 or more. Fails for all together. */
  readonly deliver: (items: readonly Item[]) => Promise<Result>;
  /** What an item counts towards `maxWeight`. */
  readonly weigh: (item: Item) => number;
  /** Most items, and most weight, of one request. A single item may weigh more. */
  readonly maxCount: number;
  readonly maxWeight: number;
  /** What an item occupies beyond its weight while it waits. */
  readonly overhead: number;
  /** Weight and overhead that may wait; beyond it, new items are refused with `TOO_MANY_WAITING`. */
  readonly maxWaiting: number;
  /** Requests at once; those beyond the first go out only when there is a full one. */
  readonly maxRequests: number;
}

interface Entry<Item, Result> {
  readonly item: Item;
  readonly weight: number;
  readonly resolve: (result: Result) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Turns of the microtask queue between one request's end and the next one's start: time for those who awaited the first to
 * send again, so that they travel together instead of one ahead of the others. No time passes meanwhile.
 */
const turnsToRejoin = 12;

export class Coalescer<Item, Result> {
  readonly #options: CoalescerOptions<Item, Result>;
  readonly #waiting: Entry<Item, Result>[] = [];
  #waitingWeight = 0;
  #underWay = 0;

  constructor(options: CoalescerOptions<Item, Result>) {
    this.#options = options;
  }

  async add(item: Item): Promise<Result> {
    const weight = this.#options.weigh(item);
    const { overhead, maxWaiting } = this.#options;
    if (this.#waitingWeight + weight + (this.#waiting.length + 1) * overhead > maxWaiting) {
      throw QueueError.local("TOO_MANY_WAITING", `More than ${maxWaiting} bytes wait to be sent`, { retryable: true });
    }
    return await new Promise<Result>((resolve, reject) => {
      this.#waiting.push({ item, weight, resolve, reject });
      this.#waitingWeight += weight;
      this.#start();
    });
  }

  #start(): void {
    while (this.#mayStart()) {
      const entries = this.#take();
      this.#underWay += 1;
      void this.#travel(entries); // never rejects: every outcome goes to its entry
    }
  }

  #mayStart(): boolean {
    if (this.#waiting.length === 0) return false;
    if (this.#underWay === 0) return true;
    const { maxRequests, maxCount, maxWeight } = this.#options;
    const isFull = this.#waiting.length >= maxCount || this.#waitingWeight >= maxWeight;
    return isFull && this.#underWay < maxRequests;
  }

  #take(): readonly Entry<Item, Result>[] {
    const { maxCount, maxWeight } = this.#options;
    let count = 0;
    let weight = 0;
    for (const entry of this.#waiting) {
      if (count === maxCount || (count > 0 && weight + entry.weight > maxWeight)) break;
      count += 1;
      weight += entry.weight;
    }
    this.#waitingWeight -= weight;
    return this.#waiting.splice(0, count);
  }

  async #travel(entries: readonly Entry<Item, Result>[]): Promise<void> {
    await this.#settle(entries);
    for (let turn = 0; turn < turnsToRejoin; turn += 1) await Promise.resolve();
    this.#underWay -= 1;
    this.#start();
  }

  /** A request refused for what is in it is sent again in halves, until the bad items stand alone: the others are innocent. */
  async #settle(entries: readonly Entry<Item, Result>[]): Promise<void> {
    try {
      const result = await this.#options.deliver(entries.map(({ item }) => item));
      for (const entry of entries) entry.resolve(result);
    } catch (error) {
      if (entries.length > 1 && mayBeOneOfMany(error)) {
        const middle = Math.ceil(entries.length / 2);
        await this.#settle(entries.slice(0, middle));
        await this.#settle(entries.slice(middle));
        return;
      }
      for (const entry of entries) entry.reject(error);
    }
  }
}
