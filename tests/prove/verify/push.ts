// Judges what push consumers saw of one message: each delivery after the first needs a cause, and attempts must add up.

import type { Findings } from "./findings.ts";
import type { MessageHistory, PushDelivery } from "./history.ts";
import type { Timeline } from "./timeline.ts";

/** How a delivery ended for one message, as far as it can be known from outside. */
export type PushEnd =
  /** Settled: it may never come again. */
  | "acked"
  /** The handler asked for another delivery, or failed. */
  | "retried"
  /** Its process died: it counts, and comes again. */
  | "workerDied"
  /** Given back uncounted by a server that stopped. */
  | "returned"
  /** The server says that no handler got it, yet one did. */
  | "denied"
  /** The server was killed before it wrote what came of it: it is settled, or comes again. */
  | "cut"
  | "unknown";

export function pushEnd({ outcome, verdict, life }: PushDelivery, timeline: Timeline, by: number): PushEnd {
  switch (outcome) {
    case "ok":
      return verdict === "ack" ? "acked" : verdict === "retry" ? "retried" : "unknown";
    case "daemonDown":
      return "workerDied";
    case "returned":
      return "returned";
    case "notDelivered":
      return "denied";
    case undefined:
      return timeline.endOf(life, by) === "SIGKILL" ? "cut" : "unknown";
    default: // it threw: what it acknowledged before counts
      return verdict === "ack" ? "acked" : verdict === "retry" ? "retried" : "unknown";
  }
}

export function judgePushes({ id, pushes, send }: MessageHistory, timeline: Timeline, findings: Findings): void {
  const [first] = pushes;
  if (first === undefined) return;
  const unseen = timeline.consumerKillsBetween(send?.offeredAt ?? 0, first.at);
  if (first.message.attempts > 1 + unseen)
    findings.problem("attemptsCost", id, `the first delivery is attempt ${first.message.attempts}`);
  for (const [index, delivery] of pushes.entries()) {
    const next = pushes[index + 1];
    if (next !== undefined) judgeStep(id, delivery, next, timeline, findings);
  }
}

function judgeStep(
  id: string,
  before: PushDelivery,
  after: PushDelivery,
  timeline: Timeline,
  findings: Findings,
): void {
  const end = pushEnd(before, timeline, after.at);
  const killsInLife = timeline.consumerKillsBetween(before.at, after.at, before.life);
  const step = `attempt ${before.message.attempts} (server ${before.life}, ${before.outcome ?? "not ended"}) was followed by attempt ${after.message.attempts}`;
  // A handler may have got it, and died before it could tell.
  let unseen = timeline.consumerKillsBetween(before.at, after.at);
  let counted: readonly [least: number, most: number];
  switch (end) {
    case "acked":
      findings.problem("redeliveredAfterAck", id, step);
      return;
    case "retried":
      findings.retriesAskedFor += 1;
      counted = [1, 1];
      break;
    case "workerDied": {
      if (killsInLife === 0) {
        findings.problem("unexplained", id, `${step}, though nobody killed the Worker`);
        return;
      }
      findings.duplicate("workerKilled");
      noteRedelivery(before, after, timeline, findings);
      unseen -= 1;
      counted = [1, 1];
      break;
    }
    case "returned":
      findings.duplicate("serverStopped");
      counted = [0, 0];
      break;
    case "cut": {
      // The handler's say may have been settled, and only the log cut off.
      const maySayRetry = before.verdict === "retry" || killsInLife > 0;
      if (before.verdict === "retry") findings.retriesAskedFor += 1;
      else findings.duplicate("serverKilled");
      counted = [0, maySayRetry ? 1 : 0];
      break;
    }
    case "denied":
      findings.problem("attemptsCost", id, `${step}: the handler had it, and the server says it had not`);
      return;
    case "unknown":
      findings.problem("unexplained", id, step);
      return;
    default:
      end satisfies never;
      return;
  }
  const grown = after.message.attempts - before.message.attempts;
  if (grown < counted[0] || grown > counted[1] + unseen) findings.problem("attemptsCost", id, `${step} (${end})`);
}

/** The first message that comes back tells how long its batch was away; nothing, when another fault came in between. */
function noteRedelivery(before: PushDelivery, after: PushDelivery, timeline: Timeline, findings: Findings): void {
  const kill = timeline.consumerKills.find(({ life, at }) => life === before.life && at >= before.at);
  if (kill === undefined || kill.hung || kill.at > timeline.calmAt) return;
  if (timeline.faults.some(({ at }) => at > kill.at && at < after.at)) return;
  const ms = after.at - kill.at;
  findings.redeliveriesMs.set(kill.at, Math.min(ms, findings.redeliveriesMs.get(kill.at) ?? Number.POSITIVE_INFINITY));
}
