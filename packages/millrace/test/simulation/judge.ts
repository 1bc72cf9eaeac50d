// Whether a decision on a leased message is justified by what its consumer said, or by the end of its lease, under the settings
// that were in force. An account of the contract of its own: nothing here calls the code it checks.

import type { ConsumerRecord, Decision, QueueId } from "../../src/core/index.ts";
import type { SettingsLog } from "./settings-log.ts";
import type { Said, TrackedLease } from "./tracked.ts";
import { Violation } from "./violation.ts";
import type { World } from "./world.ts";

type Reason = Said | { readonly kind: "retry"; readonly delayMs: 0; readonly at: number; readonly ended: true };

/** The slowest store answers within a fraction of this, and a lease of a server lasts several times as long. */
const tellingTakesMs = 240_000;
/** A settlement that has failed so often may be given up: the lease ends by itself. */
const triesToSettle = 12;

export interface Bench {
  readonly world: World;
  readonly settings: SettingsLog;
  /** Whether somebody asked for the messages of the lease's queue to be moved there. */
  readonly isRedrive: (lease: TrackedLease, target: QueueId) => boolean;
}

/** Who holds messages while they are moved from one queue to another. */
export const redriveHolder = "server:redrive";

/** `undefined`: justified. */
export function judge(bench: Bench, lease: TrackedLease, decision: Decision): Violation | undefined {
  return (
    unjustified(bench, lease, decision) ??
    forgotten(lease, bench.world, bench.settings.consumersSince(lease.queue, lease.leasedAt))
  );
}

function unjustified(
  { world, settings, isRedrive }: Bench,
  lease: TrackedLease,
  decision: Decision,
): Violation | undefined {
  if (lease.holder === redriveHolder) {
    const moves = decision.kind === "release" || (decision.kind === "deadLetter" && isRedrive(lease, decision.queue));
    return moves ? undefined : new Violation("verdict", `${decision.kind} by a redrive that nobody asked for`);
  }
  const ended = lease.hadEnded || lease.endsAt <= world.wallSince(lease.leasedAt).most;
  const failures: Reason[] = lease.said.filter(({ kind }) => kind === "retry");
  if (ended) failures.push({ kind: "retry", delayMs: 0, at: lease.leasedAt, ended: true });
  const known = settings.consumersSince(lease.queue, lease.leasedAt);
  const text = wordsOf(lease);
  switch (decision.kind) {
    case "ack":
      return lease.said.some(({ kind }) => kind === "ack")
        ? undefined
        : new Violation("verdict", `acked, though its consumer said ${text}`);
    case "release":
      if (lease.holder === "pull" && !known.some((consumer) => consumer?.type === "worker"))
        return new Violation("attempts", "a pull lease that ended costs an attempt, and was released");
      if (lease.said.some(({ kind }) => kind === "notDelivered" || kind === "cancelled")) return undefined;
      if (lease.handedAt === undefined || ended) return undefined;
      return new Violation("verdict", `released as if it had not been delivered, though its consumer said ${text}`);
    case "retry": {
      if (failures.length === 0) return new Violation("verdict", `retried, though its consumer said ${text}`);
      if (!known.some((consumer) => hasRoom(lease, consumer)))
        return new Violation("attempts", `retried after attempt ${lease.attempts} of ${limitsOf(known)}`);
      const visibleAt = decision.visibleAt;
      const timely = failures.some((reason) =>
        known.some((consumer) => hasRoom(lease, consumer) && isDelayOf(world, reason, consumer, visibleAt)),
      );
      if (!timely) return new Violation("delay", `retried with ${describe(visibleAt, world)}, though ${text}`);
      return undefined;
    }
    case "deadLetter":
    case "drop": {
      if (failures.length === 0) return new Violation("verdict", `given up, though its consumer said ${text}`);
      const exhausted = known.filter((consumer) => consumer !== undefined && !hasRoom(lease, consumer));
      if (exhausted.length === 0)
        return new Violation("attempts", `given up after attempt ${lease.attempts} of ${limitsOf(known)}`);
      const target = decision.kind === "drop" ? undefined : decision.queue;
      const ruled = exhausted.some((consumer) => {
        const named = consumer?.dead_letter_queue ?? null;
        if (target === undefined) return named === null;
        return named !== null && (named.queue_id === target || settings.couldMean(named.queue_name, target));
      });
      if (!ruled)
        return new Violation(
          "dead-letter",
          target === undefined
            ? "dropped, though a dead letter queue is named"
            : `moved to ${settings.nameOf(target)}, which nobody named`,
        );
      if (lease.attempts > lease.message.got && !mayBeOfAnother(lease, known))
        return new Violation(
          "attempts",
          `given up after attempt ${lease.attempts}, though its consumer got it ${lease.message.got} times`,
        );
      return undefined;
    }
    default:
      return decision satisfies never;
  }
}

/** What came of a delivery must reach the store soon, unless something failed meanwhile; a settlement that fails is tried again. */
function forgotten(
  lease: TrackedLease,
  world: World,
  consumers: readonly (ConsumerRecord | undefined)[],
): Violation | undefined {
  if (
    lease.holder === "pull" ||
    lease.holder === redriveHolder ||
    (lease.handedAt !== undefined && lease.said.length === 0)
  )
    return undefined;
  const since = lease.said[0]?.at ?? lease.leasedAt;
  if (world.mono - since <= tellingTakesMs) return undefined;
  // A dead letter queue may have to be made first, which fails as well.
  const givenUp = lease.failedSettlements >= triesToSettle || consumers.some((each) => each?.dead_letter_queue);
  const failed = lease.failedSettlements > 0 && !givenUp && !lease.process.interruptedSince(since);
  if (lease.process.troubledSince(since) && !failed) return undefined;
  return new Violation("forgotten", `settled ${world.mono - since} ms after its consumer said ${wordsOf(lease)}`);
}

/**
 * Whether the queue may have a pull consumer, or none, when the lease of a server ends: a lease does not tell of which kind it is,
 * so it counts then.
 */
export function mayBeOfAnother(lease: TrackedLease, known: readonly (ConsumerRecord | undefined)[]): boolean {
  return lease.holder !== "pull" && known.some((consumer) => consumer?.type !== "worker");
}

function hasRoom(lease: TrackedLease, consumer: ConsumerRecord | undefined): boolean {
  return consumer === undefined || lease.attempts <= consumer.max_retries;
}

function isDelayOf(
  world: World,
  reason: Reason,
  consumer: ConsumerRecord | undefined,
  visibleAt: number | undefined,
): boolean {
  if (reason.kind !== "retry") return false;
  const delayMs = reason.delayMs ?? (consumer?.retry_delay_s ?? 0) * 1_000;
  if (delayMs === 0 || visibleAt === undefined) return delayMs === 0 && visibleAt === undefined;
  const { least, most } = world.wallSince(reason.at);
  return visibleAt >= least + delayMs && visibleAt <= most + delayMs;
}

function limitsOf(consumers: readonly (ConsumerRecord | undefined)[]): string {
  return consumers.map((consumer) => (consumer === undefined ? "unlimited" : consumer.max_retries + 1)).join(" or ");
}

function describe(visibleAt: number | undefined, world: World): string {
  return visibleAt === undefined ? "no delay" : `a delay of ${visibleAt - world.now()} ms`;
}

function wordsOf(lease: TrackedLease): string {
  if (lease.said.length === 0) return lease.handedAt === undefined ? "nothing and never got it" : "nothing";
  return lease.said
    .map((each) => (each.kind === "retry" ? `retry after ${each.delayMs ?? "the usual"} ms` : each.kind))
    .join(", then ");
}
