// What the broker needs from whoever runs Workers: hand over a batch, learn what became of it.

import type { Backlog, DeliveryResult, LeasedMessage, QueueName, WorkerName } from "../core/index.ts";

export interface Delivery {
  readonly queue: QueueName;
  readonly messages: readonly LeasedMessage[];
  /** The queue when the batch was leased; shown as `batch.metadata.metrics`. */
  readonly backlog: Backlog;
}

export interface HandlerError {
  readonly name: string;
  readonly message: string;
  readonly stack: string | undefined;
}

export type DeliveryOutcome =
  /** The handler ran to an end, good or bad. `error` when it threw and the runtime told what. */
  | { readonly kind: "completed"; readonly result: DeliveryResult; readonly error: HandlerError | undefined }
  /** The handler had the batch, then its process ended or the connection to it broke: a failed delivery. */
  | { readonly kind: "died"; readonly detail: string }
  /** The handler had the batch longer than allowed and was aborted: a failed delivery. */
  | { readonly kind: "timedOut"; readonly detail: string }
  /** The batch never reached a handler: it costs no attempt. */
  | { readonly kind: "notDelivered"; readonly detail: string }
  /** The signal was aborted (shutdown): it costs no attempt. */
  | { readonly kind: "cancelled" };

/** Runs Workers' queue handlers. Never rejects: every failure is an outcome. */
export interface PushTarget {
  /** Hands one batch to a Worker's `queue()` handler. The target keeps the wall-time limit itself. */
  deliver(worker: WorkerName, delivery: Delivery, signal: AbortSignal): Promise<DeliveryOutcome>;

  /** Whether a delivery could start now: the Worker is deployed and its process answers. */
  isReady(worker: WorkerName): boolean;

  /** Calls back when a Worker becomes ready. Returns the way to stop listening. */
  onReady(listener: (worker: WorkerName) => void): () => void;
}
