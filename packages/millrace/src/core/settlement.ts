// What becomes of a delivered message. Pure: a delivery's result goes in, decisions come out, an engine applies them.

import type { LeaseId, MessageId, QueueId } from "./identity.ts";
import type { LeasedMessage } from "./message.ts";
import type { EpochMs, Milliseconds } from "./time.ts";
import { after, milliseconds } from "./time.ts";

/** What the engine must do with one leased message. Nothing has happened yet. */
export type Decision =
  /** Done: delete it. */
  | { readonly kind: "ack" }
  /** Deliver again, not before `visibleAt`; `undefined` means at once. */
  | { readonly kind: "retry"; readonly visibleAt: EpochMs | undefined }
  /** Move it to the other queue, with the same id, send time and content type; attempts start again. */
  | { readonly kind: "deadLetter"; readonly queue: QueueId }
  /** Delete it: retries are exhausted and there is no dead letter queue. */
  | { readonly kind: "drop" }
  /** Give it back as if this delivery had not happened: the attempt is not counted. */
  | { readonly kind: "release" };

/** A consumer's say on one message. */
export type Verdict =
  | { readonly kind: "ack" }
  /** `delay` undefined: the consumer's own retry delay. An explicit 0 wins over any longer default. */
  | { readonly kind: "retry"; readonly delay: Milliseconds | undefined };

/** The rules of one consumer that decide a message's fate. */
export interface RetryPolicy {
  /** Deliveries after the first, 0 to 100. A message is delivered at most `maxRetries + 1` times. */
  readonly maxRetries: number;
  /** Wait before a retry that names no delay of its own. */
  readonly retryDelay: Milliseconds;
  /** Where exhausted messages go; `undefined`: they are dropped. */
  readonly deadLetterQueue: QueueId | undefined;
}

/**
 * Turns a consumer's verdict on delivery number `attempts` into a decision.
 * Retry delay precedence: the verdict's own, else the consumer's. Source: queues-contract.md sections 5 and 6.
 */
export function settle(attempts: number, verdict: Verdict, policy: RetryPolicy, now: EpochMs): Decision {
  if (verdict.kind === "ack") return { kind: "ack" };
  const retriesUsed = attempts - 1; // attempts counts deliveries; the first is not a retry
  if (retriesUsed < policy.maxRetries) {
    const delay = verdict.delay ?? policy.retryDelay;
    return { kind: "retry", visibleAt: delay > 0 ? after(now, delay) : undefined };
  }
  if (policy.deadLetterQueue === undefined) return { kind: "drop" };
  return { kind: "deadLetter", queue: policy.deadLetterQueue };
}

/** What a lease that nobody settled in time means: a delivery that failed, redelivered without a further wait. */
export const leaseExpired: Verdict = { kind: "retry", delay: milliseconds(0) };

/** What a handler invocation reported, in the runtime's own terms. Source: runtime-protocol.md section 4. */
export interface DeliveryResult {
  /** `ok`, or any other word: a failure. */
  readonly outcome: string;
  readonly ackAll: boolean;
  readonly retryBatch: { readonly retry: boolean; readonly delay: Milliseconds | undefined };
  readonly explicitAcks: readonly MessageId[];
  readonly retryMessages: readonly { readonly id: MessageId; readonly delay: Milliseconds | undefined }[];
}

/** A delivery whose handler failed before it decided anything. */
export function failedDelivery(outcome: string): DeliveryResult {
  return {
    outcome,
    ackAll: false,
    retryBatch: { retry: false, delay: undefined },
    explicitAcks: [],
    retryMessages: [],
  };
}

/** Whether an invocation acknowledges every message of its batch, as `resolveVerdicts` has it, without looking at the messages. */
export function acksAll({ outcome, ackAll, retryBatch, retryMessages }: DeliveryResult): boolean {
  return retryMessages.length === 0 && (ackAll || (outcome === "ok" && !retryBatch.retry));
}

/**
 * Resolves one invocation to a verdict for each message, in the contract's order (queues-contract.md section 3.2):
 * explicit ack, explicit retry, ackAll, retryAll, outcome. Explicit acks and `ackAll` count even when the handler failed.
 * Ids in the result that are not in the batch are ignored.
 */
export function resolveVerdicts(messages: readonly { readonly id: MessageId }[], result: DeliveryResult): Verdict[] {
  const acked = new Set(result.explicitAcks);
  const retried = new Map(result.retryMessages.map((retry) => [retry.id, retry.delay]));
  const batchDelay = result.retryBatch.delay;
  return messages.map(({ id }): Verdict => {
    if (acked.has(id)) return { kind: "ack" };
    if (retried.has(id)) return { kind: "retry", delay: retried.get(id) ?? batchDelay };
    if (result.ackAll) return { kind: "ack" };
    if (result.retryBatch.retry) return { kind: "retry", delay: batchDelay };
    if (result.outcome === "ok") return { kind: "ack" };
    return { kind: "retry", delay: undefined };
  });
}

/** One message's decision, named by its lease. */
export interface LeaseDecision {
  readonly lease: LeaseId;
  readonly decision: Decision;
}

/** Decides for every message of a delivered batch. The i-th decision belongs to the i-th message. */
export function settleDelivery(
  messages: readonly LeasedMessage[],
  result: DeliveryResult,
  policy: RetryPolicy,
  now: EpochMs,
): Decision[] {
  const verdicts = resolveVerdicts(messages, result);
  return messages.map((message, index) => settle(message.attempts, verdicts[index] ?? leaseExpired, policy, now));
}
