// Waiting in tests: for a signal, and not for ever.

import { setTimeout as realTimeout } from "node:timers";

const deadlineMs = 20_000;

/** The promise, or a failure that says what did not happen. */
export async function soon<T>(promise: Promise<T>, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = realTimeout(() => {
      reject(new Error(`not within ${deadlineMs} ms: ${what}`));
    }, deadlineMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

export interface Deferred<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
}

export function deferred<T = void>(): Deferred<T> {
  return Promise.withResolvers<T>();
}

/** Something that grows, and those who wait for it to be large enough. */
export class Watched<T> {
  readonly items: T[] = [];
  readonly #waiting = new Set<() => void>();

  push(item: T): void {
    this.items.push(item);
    for (const check of this.#waiting) check();
  }

  /** The items, once there are this many. */
  async atLeast(count: number, what: string): Promise<readonly T[]> {
    return await this.until((items) => items.length >= count, `${count} of ${what}`);
  }

  async until(isEnough: (items: readonly T[]) => boolean, what: string): Promise<readonly T[]> {
    const { promise, resolve } = deferred();
    const check = (): void => {
      if (isEnough(this.items)) resolve();
    };
    this.#waiting.add(check);
    check();
    try {
      await soon(promise, what);
    } finally {
      this.#waiting.delete(check);
    }
    return this.items;
  }
}
