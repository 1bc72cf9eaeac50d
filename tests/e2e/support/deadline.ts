// Waiting for a signal, with a deadline that only a broken product reaches.

const defaultDeadlineMs = 60_000;

/** The promise's value, or an error that says what did not happen in time. */
export async function within<T>(what: string, promise: Promise<T>, ms = defaultDeadlineMs): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`${what}: did not happen within ${ms} ms`)), ms);
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** A list that grows, and whose readers wait until it has what they look for. */
export class Signals<T> {
  readonly all: T[] = [];
  readonly #waiting = new Set<() => void>();

  push(item: T): void {
    this.all.push(item);
    for (const look of this.#waiting) look();
  }

  /** Resolves with the first answer of `find` that is not `undefined`, now or after a later push. */
  async until<R>(what: string, find: (all: readonly T[]) => R | undefined, ms?: number): Promise<R> {
    const { promise, resolve } = Promise.withResolvers<R>();
    const look = (): void => {
      const found = find(this.all);
      if (found !== undefined) resolve(found);
    };
    this.#waiting.add(look);
    try {
      look();
      return await within(what, promise, ms);
    } finally {
      this.#waiting.delete(look);
    }
  }
}
