// A broken law of the queue, found by a checker.

/** Which checker speaks; the mutation table names them. */
export type Law =
  /** An accepted message is in exactly one place, or left for a reason that is known. */
  | "conservation"
  /** What a client was told is stored is stored, all of a batch or none. */
  | "acceptance"
  /** The engine's counts add up to what really happened. */
  | "accounting"
  /** What is acked never comes back. */
  | "resurrection"
  /** Nobody holds a message that somebody else holds. */
  | "double-lease"
  /** Attempts grow by one a delivery, never beyond the limit, and only for deliveries the consumer got. */
  | "attempts"
  /** A message leaves its lease only by what the consumer said of it, or because the lease ended. */
  | "verdict"
  /** A message is not visible before its delay has passed. */
  | "delay"
  /** An exhausted message goes to its dead letter queue, once, or is dropped when there is none. */
  | "dead-letter"
  /** What a delivery or a lease ended in is not forgotten. */
  | "forgotten"
  /** Messages expire when their retention has passed, not before. */
  | "retention"
  /** A purge takes what was there when it began. */
  | "purge"
  /** Batches are due when they are full or their time is up. */
  | "window"
  /** No more deliveries at once than allowed. */
  | "concurrency"
  /** What comes out is what went in. */
  | "payload"
  /** What the engine says of a queue is so. */
  | "readiness"
  /** Settings change one after the other. */
  | "catalog"
  /** A starting server takes back what dead servers held. */
  | "recovery"
  /** With faults over the backlog drains. */
  | "liveness"
  /** With faults over a message is delivered when it is due, not some polls later. */
  | "promptness"
  | "livelock"
  /** A server that is told to stop stops, and leaves nothing behind. */
  | "stop"
  /** Nothing fails but in the ways that are promised. */
  | "error";

export class Violation extends Error {
  override readonly name = "Violation";
  readonly law: Law;

  constructor(law: Law, detail: string, options?: ErrorOptions) {
    super(`${law}: ${detail}`, options);
    this.law = law;
  }
}

/** Something was thrown that nobody promised. */
export function unexpected(error: unknown): Violation {
  if (error instanceof Violation) return error;
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return new Violation("error", text, { cause: error });
}
