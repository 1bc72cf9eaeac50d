// Judges what pull consumers saw of one message: leases never overlap, each costs one attempt, an answered ack is the end.

import type { Cause, Findings } from "./findings.ts";
import type { History, MessageHistory, PullDelivery } from "./history.ts";

/** Two processes on one machine read the same clock, and round it. */
const clockMs = 5;

export function judgePulls(message: MessageHistory, history: History, findings: Findings): void {
  const { id, send } = message;
  // Attempts are the order of the leases; answers may overtake each other.
  const deliveries = message.pulls.toSorted((a, b) => a.message.attempts - b.message.attempts);
  const [first] = deliveries;
  if (first === undefined) return;
  if (first.message.attempts > 1 + unseenBetween(history, send?.offeredAt ?? 0, first.at))
    findings.problem("attemptsCost", id, `the first delivery is attempt ${first.message.attempts}`);
  for (const [index, delivery] of deliveries.entries()) {
    const next = deliveries[index + 1];
    if (next !== undefined) judgeStep(id, delivery, next, history, findings);
  }
}

/** Pulls whose answer was lost: each may have leased the message and cost it an attempt. */
export function unseenBetween({ unansweredPulls }: History, from: number, to: number): number {
  return unansweredPulls.filter((pull) => pull.from <= to && pull.to >= from).length;
}

function judgeStep(id: string, before: PullDelivery, after: PullDelivery, history: History, findings: Findings): void {
  const step = `attempt ${before.message.attempts} was followed by attempt ${after.message.attempts}`;
  const grown = after.message.attempts - before.message.attempts;
  if (grown < 1 || grown > 1 + unseenBetween(history, before.askedAt, after.at)) {
    findings.problem("attemptsCost", id, step);
    return;
  }
  const { settlement } = before;
  if (settlement?.decision === "ack") {
    if (settlement.reply === "done") {
      findings.problem("redeliveredAfterAck", id, step);
      return;
    }
    // A late ack counts though somebody else may hold the message by then; nobody gets it any more after that.
    if (settlement.reply === "late" && after.askedAt > settlement.answeredAt) {
      findings.problem("redeliveredAfterAck", id, `${step}, though the late ack was answered before it was asked for`);
      return;
    }
  }
  if (settlement?.decision === "retry" && settlement.reply !== "stale") {
    findings.retriesAskedFor += 1;
    return;
  }
  if (after.at < before.askedAt + before.visibilityMs - clockMs) {
    const ms = Math.round(after.at - before.askedAt);
    findings.problem("leasedTwice", id, `${step} after ${ms} ms of a lease of ${before.visibilityMs} ms`);
    return;
  }
  findings.duplicate(causeOf(before, after, history));
}

function causeOf(before: PullDelivery, after: PullDelivery, { timeline }: History): Cause {
  const { plan, settlement, askedAt, visibilityMs } = before;
  if (plan === "abandon") return "consumerDied";
  if (plan === "late") return "consumerLate";
  if (settlement?.reply === "unanswered") return "ackLost";
  const leaseEnded = Math.min(after.at, askedAt + visibilityMs);
  if (timeline.wasPaused(askedAt, leaseEnded)) return "pausedLease";
  if (timeline.wasDown(askedAt, leaseEnded)) return "downLease";
  return "busyLease";
}
