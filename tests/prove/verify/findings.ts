// What the verdict is made of: causes that explain a redelivery, and problems that nothing explains.

/** Why a message that its consumer did not ask for came again. Each is one the contract allows. */
export const causes = {
  serverKilled: "the server was killed with the batch in flight",
  serverStopped: "the server was stopped and gave the batch back",
  workerKilled: "the Worker's process was killed, or ended by the watchdog, with the batch in flight",
  consumerDied: "the lease ran out: its pull consumer forgot it, as if it had died",
  consumerLate: "the lease ran out: its pull consumer was late",
  pausedLease: "the lease ran out while the server was paused",
  downLease: "the lease ran out while the server was down",
  busyLease: "the lease ran out before the ack arrived",
  ackLost: "the ack was not answered, and had not arrived",
} as const;

export type Cause = keyof typeof causes;

/** What may never happen, whatever is killed. */
export const rules = {
  lost: "an accepted message is gone without having been acknowledged",
  redeliveredAfterAck: "a message was delivered again after its acknowledgement was settled",
  unexplained: "a message came again without a cause",
  attemptsCost: "an attempt was counted that no consumer got, or one that a consumer got was not",
  tooManyAttempts: "a message was delivered more often than its consumer allows",
  leasedTwice: "a message was leased to two consumers at once",
  deadLetteredTwice: "a message is in dead letter queues more than once",
  deadLetteredTooSoon: "a message was dead-lettered before its deliveries were used up",
  deadLetteredAfterAck: "an acknowledged message is in a dead letter queue",
  storedTwice: "one send was stored as two messages",
  torn: "a send of several messages was stored in part",
  damaged: "a body is not what was sent",
  neverSent: "a message was delivered that nobody sent",
  wrongQueue: "a message came out of another queue than it was sent to",
  tooEarly: "a message was delivered before its delay was over",
  busyWhileStopping: "a server that was asked to stop went on delivering",
  notDrained: "a backlog was left when the faults were over",
  orphans: "a Worker's process outlived its server",
  failedCheck: "a check at the end failed",
} as const;

export type Rule = keyof typeof rules;

export interface Problem {
  readonly rule: Rule;
  /** The message it is about, where it is about one. */
  readonly id: string | undefined;
  readonly text: string;
}

export type Fate = "acked" | "ackedUnseen" | "deadLettered" | "backlog" | "lost";

export class Findings {
  readonly problems: Problem[] = [];
  readonly duplicates = new Map<Cause, number>();
  readonly fates = new Map<Fate, number>();
  /** From the death of a Worker's process to the first redelivery of what it had, by death. */
  readonly redeliveriesMs = new Map<number, number>();
  retriesAskedFor = 0;

  problem(rule: Rule, id: string | undefined, text: string): void {
    this.problems.push({ rule, id, text });
  }

  duplicate(cause: Cause): void {
    this.duplicates.set(cause, (this.duplicates.get(cause) ?? 0) + 1);
  }

  fate(fate: Fate): void {
    this.fates.set(fate, (this.fates.get(fate) ?? 0) + 1);
  }
}
