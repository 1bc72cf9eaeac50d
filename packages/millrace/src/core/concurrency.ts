// How many deliveries of one queue run at once. Source: queues-contract.md section 9; the steps themselves are unpublished
// there, so they are ours: reconsidered only after a delivery completes, one up while a full batch waits, one down when
// none does or the handler failed, never on `retry()`. One step a completion doubles the target with every round of
// deliveries, since each of them steps.

/** Everything the decision remembers between completions. */
export interface ConcurrencyState {
  /** Deliveries allowed at once, 1 or more. */
  readonly target: number;
}

export const initialConcurrency: ConcurrencyState = { target: 1 };

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
  const step = !failed && ready >= batchSize ? 1 : -1;
  return { target: Math.max(1, Math.min(ceiling, state.target + step)) };
}
