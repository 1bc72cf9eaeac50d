// Time as the client sees it: a clock and a way to be called later. Tests hand in their own.

export interface Time {
  /** Milliseconds since the Unix epoch. */
  now(): number;
  /** Calls back once after `ms`, never synchronously. Returns the way to call it off, which may be called repeatedly. */
  after(ms: number, callback: () => void): () => void;
}

export const systemTime: Time = {
  now: () => Date.now(),
  after(ms, callback) {
    const timer = setTimeout(callback, ms);
    return () => {
      clearTimeout(timer);
    };
  },
};

/** Resolves after `ms`, or as soon as the signal is aborted. Never rejects. */
export async function pause(time: Time, ms: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted === true) return;
  await new Promise<void>((resolve) => {
    const done = (): void => {
      cancel();
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const cancel = time.after(ms, done);
    signal?.addEventListener("abort", done, { once: true });
  });
}
