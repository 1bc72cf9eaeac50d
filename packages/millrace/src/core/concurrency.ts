// How many deliveries of one queue run at once. Source: queues-contract.md section 9; the steps themselves are unpublished
// there, so they are ours: reconsidered only after a delivery completes, one up while the backlog does not shrink, one
// down on handler errors, never on `retry()`.

/** Everything the decision remembers between completions. */
export interface ConcurrencyState {
  /** Deliveries allowed at once, 1 or more. */
  readonly target: number;
  /** Messages ready after the completion before this one. */
  readonly lastReady: number;
  /** Consecutive completions that failed. */
  readonly failures: number;
}

export const initialConcurrency: ConcurrencyState = { target: 1, lastReady: 0, failures: 0 };

export interface CompletedDelivery {
  /** The handler threw, timed out or died. `retry()` and `retryAll()` are not failures. */
  readonly failed: boolean;
  /** Messages ready to be leased now. */
  readonly ready: number;
  readonly batchSize: number;
}

/** The state after a delivery completed. `ceiling` is `max_concurrency`, or the platform maximum when automatic. */
export function reconsider(state: ConcurrencyState, completed: CompletedDelivery, ceiling: number): ConcurrencyState {
  const { failed, ready, batchSize } = completed;
  const failures = failed ? state.failures + 1 : 0;
  let target = state.target;
  if (failed) {
    target -= 1;
  } else if (ready >= batchSize && ready >= state.lastReady) {
    // A full batch waits and the backlog is not shrinking: what runs now is not enough.
    target += 1;
  } else if (ready < batchSize) {
    target -= 1;
  }
  return { target: Math.max(1, Math.min(ceiling, target)), lastReady: ready, failures };
}
