// What the store thread keeps in memory of one queue: counters and three lines. Every stored message is in exactly one of
// them: fresh (visible, never leased), later (delayed, retried or given back; ready when due), leases.

import { earliest } from "../../core/index.ts";
import type { Accounting, Backlog, EpochMs, QueueId, Readiness } from "../../core/index.ts";
import { FreshLine } from "./fresh-line.ts";
import type { RunsTable } from "./fresh-line.ts";
import { LaterLine } from "./later-line.ts";
import type { LaterTable } from "./later-line.ts";
import { LeaseBook } from "./lease-book.ts";
import type { LogTable } from "./log-table.ts";
import { readHeader } from "./record.ts";

/** Counters as they are stored. */
export interface QueueCounters {
  count: number;
  bytes: number;
  accepted: number;
  acked: number;
  deadLettered: number;
  expired: number;
  purged: number;
  dropped: number;
}

/** Ways out of a queue. */
export type Outcome = "acked" | "deadLettered" | "expired" | "purged" | "dropped";

export interface StateTables {
  readonly log: LogTable;
  readonly runs: RunsTable;
  readonly later: LaterTable;
}

export interface SavedQueue {
  readonly number: number;
  readonly id: QueueId;
  readonly head: number;
  readonly freshCount: number;
  readonly laterCount: number;
  readonly counters: QueueCounters;
}

/** Leases looked at for the oldest message, whose send time is told best effort. */
const leasesLookedAt = 32;

export class QueueState {
  readonly number: number;
  readonly id: QueueId;
  readonly counters: QueueCounters;
  readonly fresh: FreshLine;
  readonly later: LaterLine;
  readonly leases = new LeaseBook();
  /** Dropped or purged: no longer reachable, being deleted in slices. */
  isDoomed = false;
  readonly #log: LogTable;
  #oldest: { readonly position: number; readonly sentAt: EpochMs } | undefined;

  constructor(tables: StateTables, saved: SavedQueue, savedThrough: number) {
    this.number = saved.number;
    this.id = saved.id;
    this.counters = saved.counters;
    this.#log = tables.log;
    this.fresh = new FreshLine(tables.runs, saved.number, {
      head: saved.head,
      count: saved.freshCount,
      through: savedThrough,
    });
    this.later = new LaterLine(tables.later, saved.number, saved.laterCount);
  }

  /** A message came in. */
  countIn(messages: number, bytes: number): void {
    this.counters.count += messages;
    this.counters.bytes += bytes;
    this.counters.accepted += messages;
  }

  /** Messages went out. */
  countOut(outcome: Outcome, messages: number, bytes: number): void {
    this.counters.count -= messages;
    this.counters.bytes -= bytes;
    this.counters[outcome] += messages;
  }

  backlog(): Backlog {
    const { count, bytes } = this.counters;
    return { count, bytes, oldestSentAt: count === 0 ? undefined : this.#oldestSentAt() };
  }

  accounting(): Accounting {
    const { accepted, acked, deadLettered, expired, purged, dropped } = this.counters;
    return { accepted, acked, deadLettered, expired, purged, dropped };
  }

  /** Messages in the three lines, which together hold each once: counted apart from the backlog, which this must equal. */
  held(): number {
    return this.fresh.count + this.later.count + this.leases.count;
  }

  /** `ready` is exact up to a thousand due messages, beside any number of fresh ones. */
  readiness(now: EpochMs): Readiness {
    return {
      ready: this.fresh.count + this.later.dueCount(now),
      readySince: earliest(this.fresh.first()?.storedAt, this.later.firstDue(now)),
      nextDueAt: this.later.nextDue(now),
      nextLeaseEndsAt: this.leases.nextEnd(),
    };
  }

  /** Whether the message at a position is stored here, in whatever state. Looks through all leases: not for the hot path. */
  holds(position: number): boolean {
    if (this.fresh.has(position) || this.later.find(position) !== undefined) return true;
    for (const { items } of this.leases.batches()) {
      if (items.some((item) => item.position === position)) return true;
    }
    return false;
  }

  /** When the message that came in first, of those left, did; `undefined` when there is none. */
  oldestStoredAt(): EpochMs | undefined {
    const position = this.#oldestPosition(Number.POSITIVE_INFINITY);
    if (position === undefined) return undefined;
    const fresh = this.fresh.first();
    if (fresh?.first === position) return fresh.storedAt;
    const header = this.#log.header(position);
    return header === undefined ? undefined : readHeader(header).storedAt;
  }

  #oldestSentAt(): EpochMs | undefined {
    const position = this.#oldestPosition(leasesLookedAt);
    if (position === undefined) return undefined;
    if (this.#oldest?.position !== position) {
      const header = this.#log.header(position);
      if (header === undefined) return undefined; // it is set aside when it is to be handed out
      this.#oldest = { position, sentAt: readHeader(header).sentAt };
    }
    return this.#oldest.sentAt;
  }

  #oldestPosition(leaseLimit: number): number | undefined {
    const never = Number.POSITIVE_INFINITY;
    let oldest = Math.min(this.fresh.first()?.first ?? never, this.later.firstPosition() ?? never);
    let looked = 0;
    for (const { lowest } of this.leases.batches()) {
      oldest = Math.min(oldest, lowest);
      looked += 1;
      if (looked >= leaseLimit) break;
    }
    return oldest === never ? undefined : oldest;
  }
}
