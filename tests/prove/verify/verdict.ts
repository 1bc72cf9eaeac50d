// From a ledger to a verdict: every accepted message accounted for, every redelivery explained, or named as a problem.

import type { Door, FaultKind, RecordedFact } from "../facts.ts";
import { causes, Findings } from "./findings.ts";
import type { Cause, Fate, Problem } from "./findings.ts";
import { readHistory } from "./history.ts";
import type { History, MessageHistory, Send } from "./history.ts";
import { judgePulls, unseenBetween } from "./pull.ts";
import { judgePushes, pushEnd } from "./push.ts";
import { consumingWorker } from "./timeline.ts";
import type { Timeline } from "./timeline.ts";

/** A first delivery may not come before its delay is over; the clocks that tell are read within this. */
const clockMs = 5;
/** What was under way when a stop came is still delivered; a busy machine takes a while to tell. */
const stoppingMs = 3_000;

export interface DoorCounts {
  sends: number;
  messages: number;
  accepted: number;
  acceptedMessages: number;
}

export interface Verdict {
  readonly seed: number;
  readonly isGood: boolean;
  readonly problems: readonly Problem[];
  /** From the first fact to the last. */
  readonly durationMs: number;
  readonly kills: number;
  readonly faults: Readonly<Record<string, number>>;
  readonly doors: Readonly<Record<string, DoorCounts>>;
  readonly acceptedMessages: number;
  /** Sends without an answer, or with an error: all or nothing of each was stored. */
  readonly unacknowledged: { readonly sends: number; readonly stored: number };
  readonly deliveries: { readonly push: number; readonly pull: number };
  readonly fates: Readonly<Record<Fate, number>>;
  readonly retriesAskedFor: number;
  readonly duplicates: Readonly<Record<Cause, number>>;
  /** Milliseconds, in the order they were measured. */
  readonly times: {
    readonly killToReady: readonly number[];
    /** In the loop: from the death of a consuming Worker's process to the next delivery to its successor. */
    readonly deathToDelivery: readonly number[];
    /** In the loop: to the first redelivery of what it had, behind the backlog there was, unless another fault came first. */
    readonly deathToRedelivery: readonly number[];
    /** Alone: by how many deaths that server had seen before. */
    readonly aloneDeathToRedelivery: readonly (readonly number[])[];
  };
  readonly checks: readonly { readonly what: string; readonly isGood: boolean }[];
}

export function judge(facts: readonly RecordedFact[]): Verdict {
  const history = readHistory(facts);
  const findings = new Findings();
  for (const message of history.messages.values()) judgeMessage(message, history, findings);
  judgeStops(facts, findings);
  const unacknowledged = judgeUnacknowledged(history, findings);
  const checks = judgeEnd(facts, findings);
  const { timeline } = history;
  const faults: Record<string, number> = {};
  for (const { what } of timeline.faults) faults[what] = (faults[what] ?? 0) + 1;
  const isKill = ({ what }: { readonly what: FaultKind }): boolean => what.startsWith("kill");
  const doors = countDoors(history.sends);
  const messages = [...history.messages.values()];
  return {
    seed: facts.find((fact) => fact.kind === "run")?.seed ?? Number.NaN,
    isGood: findings.problems.length === 0,
    problems: findings.problems,
    durationMs: (facts.at(-1)?.at ?? 0) - (facts[0]?.at ?? 0),
    kills: timeline.faults.filter(isKill).length,
    faults,
    doors,
    acceptedMessages: Object.values(doors).reduce((sum, { acceptedMessages }) => sum + acceptedMessages, 0),
    unacknowledged,
    deliveries: {
      push: messages.reduce((sum, { pushes }) => sum + pushes.length, 0),
      pull: messages.reduce((sum, { pulls }) => sum + pulls.length, 0),
    },
    fates: withZeros(["acked", "ackedUnseen", "deadLettered", "backlog", "lost"], findings.fates),
    retriesAskedFor: findings.retriesAskedFor,
    duplicates: withZeros(Object.keys(causes) as Cause[], findings.duplicates),
    times: {
      killToReady: timeline.restartsMs,
      deathToDelivery: deliveriesAfterDeath(facts, timeline),
      deathToRedelivery: [...findings.redeliveriesMs.values()],
      aloneDeathToRedelivery: aloneTimes(facts),
    },
    checks,
  };
}

function judgeMessage(message: MessageHistory, history: History, findings: Findings): void {
  const { id, send, pushes, pulls } = message;
  if (send === undefined) {
    findings.problem("neverSent", id, "it was delivered or found in a queue");
    return;
  }
  judgeCopies(message, send, history, findings);
  judgePushes({ ...message, pushes: pushes.toSorted((a, b) => a.at - b.at) }, history.timeline, findings);
  judgePulls(message, history, findings);
  const fate = fateOf(message, history, findings);
  if (send.answer !== "accepted" && fate === "lost" && pushes.length + pulls.length === 0) return; // never stored
  findings.fate(fate);
  if (fate === "lost") {
    const seen = pushes.length + pulls.length;
    findings.problem("lost", id, `sent to ${send.queue} through ${send.door}, delivered ${seen} times`);
  }
}

/** What holds for every single sight of a message. */
function judgeCopies(
  { id, pushes, pulls, leftIn }: MessageHistory,
  send: Send,
  history: History,
  findings: Findings,
): void {
  const deliveries = [...pushes, ...pulls];
  const all = [...deliveries, ...leftIn].map(({ message }) => message);
  if (all.some(({ isIntact }) => !isIntact)) findings.problem("damaged", id, `sent through ${send.door}`);
  const stored = new Set(all.map(({ messageId }) => messageId));
  if (stored.size > 1) findings.problem("storedTwice", id, `under the ids ${[...stored].join(" and ")}`);
  const elsewhere = deliveries.find(({ queue }) => queue !== send.queue);
  if (elsewhere !== undefined)
    findings.problem("wrongQueue", id, `sent to ${send.queue}, came from ${elsewhere.queue}`);
  const early = deliveries.find(({ at }) => at < send.notBefore - clockMs);
  if (early !== undefined) findings.problem("tooEarly", id, `${Math.round(send.notBefore - early.at)} ms too early`);
  const limit = history.queues.get(send.queue)?.deliveries ?? 0;
  const most = Math.max(0, ...deliveries.map(({ message }) => message.attempts));
  if (most > limit) findings.problem("tooManyAttempts", id, `attempt ${most} of at most ${limit}`);
}

/** Where a message is when all is over. */
function fateOf(message: MessageHistory, history: History, findings: Findings): Fate {
  const { id, send, leftIn } = message;
  const seen = ackOf(message, history);
  const dead = leftIn.filter(({ queue }) => queue !== send?.queue);
  if (dead.length > 1) findings.problem("deadLetteredTwice", id, `${dead.length} times`);
  if (dead.length > 0) {
    if (seen === "acked") findings.problem("deadLetteredAfterAck", id, "its ack was settled");
    const limit = history.queues.get(send?.queue ?? "")?.deliveries ?? 0;
    const last = mostAttempts(message, history);
    if (last < limit) findings.problem("deadLetteredTooSoon", id, `after attempt ${last} of ${limit}`);
    return "deadLettered";
  }
  if (leftIn.length > 0) return "backlog";
  return seen ?? "lost";
}

/** How often a message may have been delivered: what the log says, else what was seen and could not be seen. */
function mostAttempts({ send, pushes, pulls, leftIn }: MessageHistory, history: History): number {
  const told = leftIn.flatMap(({ message }) => history.deadLettered.get(message.messageId) ?? []);
  if (told[0] !== undefined) return told[0];
  const deliveries = [...pushes, ...pulls];
  const last = Math.max(0, ...deliveries.map(({ message }) => message.attempts));
  const lastAt = Math.max(send?.offeredAt ?? 0, ...deliveries.map(({ at }) => at));
  const isPulled = history.queues.get(send?.queue ?? "")?.consumer === "pull";
  const unseen = isPulled
    ? unseenBetween(history, lastAt, Number.POSITIVE_INFINITY)
    : history.timeline.consumerKillsBetween(lastAt, Number.POSITIVE_INFINITY);
  return last + unseen;
}

/** Whether it was acknowledged: seen from outside, or possibly, when a server died before it told. */
function ackOf({ pushes, pulls }: MessageHistory, { timeline }: History): "acked" | "ackedUnseen" | undefined {
  const acks = new Set(pulls.flatMap(({ settlement }) => (settlement?.decision === "ack" ? [settlement.reply] : [])));
  if (acks.has("done") || acks.has("late")) return "acked";
  const ends = pushes.map((delivery) => ({ delivery, end: pushEnd(delivery, timeline, Number.POSITIVE_INFINITY) }));
  if (ends.some(({ end }) => end === "acked")) return "acked";
  if (acks.has("unanswered")) return "ackedUnseen";
  return ends.some(({ delivery, end }) => end === "cut" && delivery.verdict === "ack") ? "ackedUnseen" : undefined;
}

/** A send that nobody acknowledged may be stored as a whole or not at all. */
function judgeUnacknowledged(history: History, findings: Findings): Verdict["unacknowledged"] {
  let sends = 0;
  let stored = 0;
  for (const { answer, ids, door } of history.sends) {
    if (answer === "accepted") continue;
    sends += 1;
    const seen = ids.filter((id) => {
      const message = history.messages.get(id);
      return message !== undefined && message.pushes.length + message.pulls.length + message.leftIn.length > 0;
    });
    if (seen.length > 0) stored += 1;
    if (seen.length > 0 && seen.length < ids.length)
      findings.problem("torn", seen[0], `${seen.length} of ${ids.length} messages through ${door}`);
  }
  return { sends, stored };
}

function judgeStops(facts: readonly RecordedFact[], findings: Findings): void {
  const drainingSince = new Map<number, number>();
  for (const fact of facts) {
    if (fact.kind === "draining") drainingSince.set(fact.life, fact.at);
    if (fact.kind !== "batch-opened") continue;
    const since = drainingSince.get(fact.life);
    if (since === undefined || fact.at < since + stoppingMs) continue;
    const ms = Math.round(fact.at - since);
    findings.problem(
      "busyWhileStopping",
      undefined,
      `server ${fact.life} opened a batch of ${fact.queue} after ${ms} ms`,
    );
  }
}

function judgeEnd(facts: readonly RecordedFact[], findings: Findings): Verdict["checks"] {
  const checks: { what: string; isGood: boolean }[] = [];
  const drains = facts.filter((fact) => fact.kind === "drained");
  for (const { backlog } of drains) if (backlog > 0) findings.problem("notDrained", undefined, `${backlog} messages`);
  if (drains.length === 0) findings.problem("failedCheck", undefined, "the run did not come to its end");
  for (const fact of facts) {
    if (fact.kind === "orphans") {
      checks.push({
        what: "no Worker's process that had been ready outlives its server",
        isGood: fact.pids.length === 0,
      });
      if (fact.pids.length > 0) findings.problem("orphans", undefined, `process ids ${fact.pids.join(", ")}`);
    } else if (fact.kind === "checked") {
      checks.push({ what: fact.what, isGood: fact.isGood });
      if (!fact.isGood) findings.problem("failedCheck", undefined, `${fact.what}: ${fact.text}`);
    }
  }
  return checks;
}

function countDoors(sends: readonly Send[]): Record<string, DoorCounts> {
  const doors = {} as Record<Door, DoorCounts>;
  for (const { door, ids, answer } of sends) {
    const counts = (doors[door] ??= { sends: 0, messages: 0, accepted: 0, acceptedMessages: 0 });
    counts.sends += 1;
    counts.messages += ids.length;
    if (answer !== "accepted") continue;
    counts.accepted += 1;
    counts.acceptedMessages += ids.length;
  }
  return doors;
}

/** Deaths after which the server was gone before a handler was called again say nothing. */
function deliveriesAfterDeath(facts: readonly RecordedFact[], timeline: Timeline): number[] {
  const times: number[] = [];
  let death: Timeline["consumerKills"][number] | undefined;
  let isBack = false;
  for (const fact of facts) {
    if (fact.kind === "signal") {
      death = timeline.consumerKills.find(({ at, hung }) => at === fact.at && !hung && at < timeline.calmAt);
      isBack = false;
    } else if (fact.kind === "worker-ready" && fact.worker === consumingWorker) {
      isBack = true;
    } else if (fact.kind === "pushed" && death !== undefined && isBack) {
      times.push(fact.at - death.at);
      death = undefined;
    }
  }
  return times;
}

function aloneTimes(facts: readonly RecordedFact[]): number[][] {
  const times: number[][] = [];
  for (const fact of facts) {
    if (fact.kind !== "redelivered") continue;
    (times[fact.deathsBefore] ??= []).push(fact.ms);
  }
  return times;
}

function withZeros<K extends string>(keys: readonly K[], counts: ReadonlyMap<K, number>): Record<K, number> {
  return Object.fromEntries(keys.map((key) => [key, counts.get(key) ?? 0])) as Record<K, number>;
}
