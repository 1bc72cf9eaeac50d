// One queue's messages in memory.
//
// Every stored message is in `#messages`, in order of arrival, and in exactly one of three timelines: `#ready` (by since when),
// `#delayed` (by when due), `#leased` (by when the lease ends). A delayed message that is due moves to `#ready` when somebody looks.

import { after, epochMs, maxAttempts, Timeline } from "../../core/index.ts";
import type {
  Accounting,
  Backlog,
  BatchId,
  Decision,
  EpochMs,
  ExpiredLease,
  Holder,
  LeasedMessage,
  LeaseId,
  LeaseRequest,
  MessageId,
  MessageRef,
  NewMessage,
  PeekedMessage,
  QueueId,
  Readiness,
  Recount,
  SettleRequest,
} from "../../core/index.ts";

/** Numbers messages and batches over all queues, so that a lease or a ref of one queue means nothing in another. */
export class Sequence {
  #last = 0;
  next(): number {
    this.#last += 1;
    return this.#last;
  }
}

interface Stored {
  readonly number: number;
  readonly message: NewMessage;
  readonly storedAt: EpochMs;
  /** Deliveries so far. */
  attempts: number;
  /** The batch that holds it, while leased. */
  batch: number | undefined;
}

interface Batch {
  readonly holder: Holder;
  /** Numbers of the messages still leased under it. */
  readonly held: Set<number>;
}

type Outcome = "acked" | "deadLettered" | "expired" | "purged" | "dropped";

export class MemoryQueue {
  readonly #sequence: Sequence;
  readonly #messages = new Map<number, Stored>();
  readonly #ready = new Timeline();
  readonly #delayed = new Timeline();
  readonly #leased = new Timeline();
  readonly #batches = new Map<number, Batch>();
  readonly #gone: Record<Outcome, number> = { acked: 0, deadLettered: 0, expired: 0, purged: 0, dropped: 0 };
  #accepted = 0;
  #bytes = 0;

  constructor(sequence: Sequence) {
    this.#sequence = sequence;
  }

  holds(id: MessageId): boolean {
    for (const { message } of this.#messages.values()) if (message.id === id) return true;
    return false;
  }

  add(message: NewMessage, now: EpochMs): void {
    const stored: Stored = { number: this.#sequence.next(), message, storedAt: now, attempts: 0, batch: undefined };
    this.#messages.set(stored.number, stored);
    this.#accepted += 1;
    this.#bytes += message.body.length;
    this.#makeVisible(stored.number, message.visibleAt, now);
  }

  lease(request: LeaseRequest, now: EpochMs): { batch: BatchId | undefined; messages: LeasedMessage[] } {
    this.#promote(now);
    const taken: Stored[] = [];
    while (taken.length < request.max) {
      const next = this.#ready.takeDue(epochMs(Number.POSITIVE_INFINITY));
      if (next === undefined) break;
      taken.push(this.#stored(next.key));
    }
    if (taken.length === 0) return { batch: undefined, messages: [] };
    const batch = this.#sequence.next();
    this.#batches.set(batch, { holder: request.holder, held: new Set(taken.map(({ number }) => number)) });
    for (const stored of taken) {
      stored.batch = batch;
      stored.attempts = Math.min(maxAttempts, stored.attempts + 1);
      this.#leased.set(stored.number, after(now, request.visibility));
    }
    return {
      batch: String(batch) as BatchId,
      messages: taken.map(({ number, message, attempts }) => {
        const { id, sentAt, contentType, body, source } = message;
        return { id, sentAt, contentType, body, source, attempts, lease: leaseId(batch, number) };
      }),
    };
  }

  /** Targets of dead letters are there already: nothing can fail half way. */
  settle(
    request: SettleRequest,
    now: EpochMs,
    targets: ReadonlyMap<QueueId, MemoryQueue>,
  ): { done: number; late: LeaseId[]; stale: LeaseId[] } {
    let done = 0;
    const late: LeaseId[] = [];
    const stale: LeaseId[] = [];
    for (const { lease, decision } of request.each) {
      const { batch, number } = parseLeaseId(lease);
      const stored = this.#messages.get(number);
      const isCurrent = stored?.batch === batch;
      if (stored === undefined || (!isCurrent && decision.kind !== "ack")) {
        stale.push(lease);
        continue;
      }
      if (!isCurrent) late.push(lease);
      this.#apply(stored, decision, now, targets);
      done += 1;
    }
    for (const { batch, decision } of request.whole) {
      for (const number of this.#batches.get(Number(batch))?.held ?? []) {
        this.#apply(this.#stored(number), decision, now, targets);
        done += 1;
      }
    }
    return { done, late, stale };
  }

  extend(leases: readonly LeaseId[], endsAt: EpochMs): LeaseId[] {
    return leases.filter((lease) => {
      const { batch, number } = parseLeaseId(lease);
      if (this.#messages.get(number)?.batch !== batch) return true;
      this.#leased.set(number, endsAt);
      return false;
    });
  }

  expiredLeases(now: EpochMs, limit: number): ExpiredLease[] {
    return this.#leased.due(now, limit).map(({ key }) => {
      const { number, batch, message, attempts } = this.#stored(key);
      return { lease: leaseId(batch, number), id: message.id, attempts };
    });
  }

  releaseHolder(holder: Holder): number {
    let released = 0;
    for (const batch of this.#batches.values()) {
      if (batch.holder !== holder) continue;
      for (const number of batch.held) {
        this.#release(this.#stored(number));
        released += 1;
      }
    }
    return released;
  }

  holders(): Holder[] {
    return [...this.#batches.values()].map(({ holder }) => holder);
  }

  peek(max: number, behind: MessageRef | undefined, now: EpochMs): PeekedMessage[] {
    this.#promote(now);
    const from = behind === undefined ? 0 : Number(behind);
    const found: PeekedMessage[] = [];
    for (const stored of this.#messages.values()) {
      if (found.length >= max) break;
      if (stored.number <= from) continue;
      const { number, attempts, message } = stored;
      const { id, sentAt, contentType, body, source } = message;
      const [state, until]: [PeekedMessage["state"], EpochMs | undefined] =
        stored.batch !== undefined
          ? ["leased", this.#leased.timeOf(number)]
          : this.#ready.has(number)
            ? ["ready", undefined]
            : ["delayed", this.#delayed.timeOf(number)];
      const ref = String(number) as MessageRef;
      found.push({ ref, id, sentAt, contentType, body, source, attempts, state, until });
    }
    return found;
  }

  purge(): number {
    const doomed = [...this.#messages.values()];
    for (const stored of doomed) this.#remove(stored, "purged");
    return doomed.length;
  }

  purgeByRef(refs: readonly MessageRef[]): { purged: number; unknown: MessageRef[] } {
    const unknown = refs.filter((ref) => {
      const stored = this.#messages.get(Number(ref));
      if (stored !== undefined) this.#remove(stored, "purged");
      return stored === undefined;
    });
    return { purged: refs.length - unknown.length, unknown };
  }

  sweep(storedBefore: EpochMs, limit: number): { expired: number; more: boolean; nextStoredAt: EpochMs | undefined } {
    let expired = 0;
    let nextStoredAt: EpochMs | undefined;
    for (const stored of this.#messages.values()) {
      const isDue = stored.storedAt < storedBefore && stored.batch === undefined;
      if (isDue && expired >= limit) return { expired, more: true, nextStoredAt: nextStoredAt ?? stored.storedAt };
      if (isDue) {
        this.#remove(stored, "expired");
        expired += 1;
        continue;
      }
      nextStoredAt ??= stored.storedAt;
      if (stored.storedAt >= storedBefore) break; // arrivals are in order of time
    }
    return { expired, more: false, nextStoredAt };
  }

  backlog(): Backlog {
    const [oldest] = this.#messages.values();
    return { count: this.#messages.size, bytes: this.#bytes, oldestSentAt: oldest?.message.sentAt };
  }

  readiness(now: EpochMs): Readiness {
    this.#promote(now);
    return {
      ready: this.#ready.size,
      readySince: this.#ready.first()?.at,
      nextDueAt: this.#delayed.first()?.at,
      nextLeaseEndsAt: this.#leased.first()?.at,
    };
  }

  accounting(): Accounting {
    return { accepted: this.#accepted, ...this.#gone };
  }

  /** Messages on a timeline. */
  held(): number {
    return this.#ready.size + this.#delayed.size + this.#leased.size;
  }

  /** Looks each message up on the timelines, and reads it. */
  recount(): Recount {
    const stored = { count: 0, bytes: 0 };
    let [stranded, doubled] = [0, 0];
    for (const [number, { message }] of this.#messages) {
      const places = [this.#ready, this.#delayed, this.#leased].filter((timeline) => timeline.has(number)).length;
      if (places === 0) stranded += 1;
      else stored.bytes += message.body.length;
      stored.count += Math.min(places, 1);
      doubled += Math.max(places - 1, 0);
    }
    const held = this.held();
    const missing = held - doubled - stored.count;
    const counters = { backlog: this.backlog(), accounting: this.accounting(), held };
    return { ...counters, stored, stranded, missing, doubled, unreadable: 0 };
  }

  #apply(stored: Stored, decision: Decision, now: EpochMs, targets: ReadonlyMap<QueueId, MemoryQueue>): void {
    switch (decision.kind) {
      case "ack":
        this.#remove(stored, "acked");
        return;
      case "drop":
        this.#remove(stored, "dropped");
        return;
      case "retry":
        this.#endLease(stored);
        this.#makeVisible(stored.number, decision.visibleAt, now);
        return;
      case "release":
        this.#release(stored);
        return;
      case "deadLetter":
        this.#remove(stored, "deadLettered");
        targets.get(decision.queue)?.add({ ...stored.message, visibleAt: undefined }, now);
        return;
      default:
        decision satisfies never;
    }
  }

  /** Back to the front: it has been waiting since it came in. */
  #release(stored: Stored): void {
    this.#endLease(stored);
    stored.attempts -= 1;
    this.#ready.set(stored.number, stored.storedAt);
  }

  #remove(stored: Stored, outcome: Outcome): void {
    this.#endLease(stored);
    this.#ready.delete(stored.number);
    this.#delayed.delete(stored.number);
    this.#messages.delete(stored.number);
    this.#bytes -= stored.message.body.length;
    this.#gone[outcome] += 1;
  }

  #endLease(stored: Stored): void {
    if (stored.batch === undefined) return;
    const batch = this.#batches.get(stored.batch);
    batch?.held.delete(stored.number);
    if (batch?.held.size === 0) this.#batches.delete(stored.batch);
    this.#leased.delete(stored.number);
    stored.batch = undefined;
  }

  #makeVisible(number: number, visibleAt: EpochMs | undefined, now: EpochMs): void {
    if (visibleAt !== undefined && visibleAt > now) this.#delayed.set(number, visibleAt);
    else this.#ready.set(number, now);
  }

  #promote(now: EpochMs): void {
    for (let next = this.#delayed.takeDue(now); next !== undefined; next = this.#delayed.takeDue(now)) {
      this.#ready.set(next.key, next.at);
    }
  }

  #stored(number: number): Stored {
    const stored = this.#messages.get(number);
    if (stored === undefined) throw new Error(`message ${number} is on a timeline but not stored`);
    return stored;
  }
}

function leaseId(batch: number | undefined, number: number): LeaseId {
  return `${batch}-${number}` as LeaseId;
}

/** NaN, which is no number of anything, where the text is none of ours. */
function parseLeaseId(lease: LeaseId): { readonly batch: number; readonly number: number } {
  const [batch, number] = lease.split("-");
  return { batch: Number(batch), number: Number(number) };
}
