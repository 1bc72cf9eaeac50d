// What became of a delivery, in words and events.

import { failedDelivery } from "../core/index.ts";
import type {
  BatchId,
  Decision,
  DeliveryResult,
  EpochMs,
  LeasedMessage,
  Logger,
  WorkerConsumerRecord,
} from "../core/index.ts";
import type { DeliveryOutcome } from "./push-target.ts";

interface DeliveryFacts {
  /** The queue's name. */
  readonly queue: string;
  readonly consumer: WorkerConsumerRecord;
  readonly batch: BatchId;
  readonly messages: readonly LeasedMessage[];
}

export function reportDelivered(logger: Logger, { queue, consumer, batch, messages }: DeliveryFacts): void {
  logger.info("batch.delivered", {
    queue,
    worker: consumer.script,
    batch,
    first_message_id: messages[0]?.id,
    count: messages.length,
    ...attemptRange(messages),
  });
}

export function reportSettled(
  logger: Logger,
  facts: DeliveryFacts & {
    /** Of each message; `undefined`: all are acknowledged. */
    readonly decisions: readonly Decision[] | undefined;
    readonly outcome: DeliveryOutcome;
    readonly startedAt: EpochMs;
    readonly endedAt: EpochMs;
  },
): void {
  const { queue, consumer, batch, messages, decisions, outcome, startedAt, endedAt } = facts;
  const counts: Record<Decision["kind"], number> = { ack: 0, retry: 0, deadLetter: 0, drop: 0, release: 0 };
  if (decisions === undefined) counts.ack = messages.length;
  for (const { kind } of decisions ?? []) counts[kind] += 1;
  const hasRetries = decisions !== undefined && counts.retry > 0;
  const retried = hasRetries ? messages.filter((_, index) => decisions[index]?.kind === "retry") : [];
  const delays = hasRetries
    ? decisions.flatMap((decision) => (decision.kind === "retry" ? (decision.visibleAt ?? []) : []))
    : [];
  const result = resultOf(outcome);
  const fields = {
    queue,
    worker: consumer.script,
    batch,
    outcome: result?.outcome ?? outcome.kind,
    acked: counts.ack,
    retried: counts.retry,
    deadLettered: counts.deadLetter,
    dropped: counts.drop,
    released: counts.release,
    ...(delays.length > 0 && { retry_in_ms: Math.max(0, Math.min(...delays) - endedAt) }),
    ...(retried.length > 0 && {
      ...(consumer.max_wait_ms > 0 && { batch_timeout_ms: consumer.max_wait_ms }),
      next_attempt: attemptRange(retried).attempts_max + 1,
      max_attempts: consumer.max_retries + 1,
    }),
    ms: endedAt - startedAt,
    ...(result?.outcome !== "ok" && { error: failureText(outcome, result) }),
  };
  if (result?.outcome === "ok") logger.info("batch.completed", fields);
  else if (outcome.kind === "cancelled") logger.info("batch.returned", fields);
  else logger.warn("batch.failed", fields);
  if (decisions !== undefined && counts.deadLetter + counts.drop > 0) reportEnds(logger, { ...facts, decisions });
}

/** Messages that were given up, one by one. */
function reportEnds(
  logger: Logger,
  { queue, consumer, messages, decisions }: DeliveryFacts & { readonly decisions: readonly Decision[] },
): void {
  for (const [index, { id, attempts }] of messages.entries()) {
    const decision = decisions[index];
    if (decision?.kind === "deadLetter") {
      const deadLetterQueue = consumer.dead_letter_queue?.queue_name;
      logger.warn("message.deadLettered", { queue, deadLetterQueue, messageId: id, attempts });
    } else if (decision?.kind === "drop") {
      logger.warn("message.dropped", { queue, messageId: id, attempts });
    }
  }
}

/** `undefined`: the delivery did not happen, or was called off; it costs no attempt. */
export function resultOf(outcome: DeliveryOutcome): DeliveryResult | undefined {
  switch (outcome.kind) {
    case "completed":
      return outcome.result;
    case "died":
      return failedDelivery("daemonDown");
    case "timedOut":
      return failedDelivery("exceededWallTime");
    case "notDelivered":
    case "cancelled":
      return undefined;
    default:
      return outcome satisfies never;
  }
}

export function failureText(outcome: DeliveryOutcome, result: DeliveryResult | undefined): string {
  switch (outcome.kind) {
    case "completed":
      return outcome.error === undefined
        ? `outcome ${result?.outcome ?? "unknown"}`
        : `${outcome.error.name}: ${outcome.error.message}`;
    case "died":
    case "timedOut":
    case "notDelivered":
      return outcome.detail;
    case "cancelled":
      return "the server is stopping";
    default:
      return outcome satisfies never;
  }
}

function attemptRange(messages: readonly LeasedMessage[]): {
  readonly attempts_min: number;
  readonly attempts_max: number;
} {
  let min = Number.POSITIVE_INFINITY;
  let max = 0;
  for (const { attempts } of messages) {
    min = Math.min(min, attempts);
    max = Math.max(max, attempts);
  }
  return { attempts_min: min, attempts_max: max };
}
