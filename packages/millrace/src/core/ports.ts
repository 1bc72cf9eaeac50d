// What the core and the broker need from the outside. Adapters implement these; the composition root connects them.

import type { CatalogStore } from "./catalog-store.ts";
import type { BatchWindow } from "./batch-window.ts";
import type { CountedQueue, Recount } from "./conservation.ts";
import type { BatchId, Holder, LeaseId, MessageId, MessageRef, QueueId } from "./identity.ts";
import type { Backlog, LeasedBatch, NewMessage, PeekedMessage, Readiness } from "./message.ts";
import type { Decision, LeaseDecision } from "./settlement.ts";
import type { EpochMs, Milliseconds } from "./time.ts";

/** Tells the time. The only way anything below the adapters learns it. */
export interface Clock {
  now(): EpochMs;
}

/** Random bytes; seeded in simulations. */
export interface Random {
  bytes(count: number): Uint8Array;
}

/** Runs something later; simulated in tests. `cancel` may be called at any time, repeatedly. */
export interface Timers {
  /** Calls back once at or after `at`, never synchronously. */
  at(at: EpochMs, callback: () => void): { cancel(): void };
}

export type LogFields = Readonly<Record<string, unknown>>;

/** Events with fields, one line each. Event names are dotted words: `lease.expired`. Bodies are never logged. */
export interface Logger {
  debug(event: string, fields?: LogFields): void;
  info(event: string, fields?: LogFields): void;
  warn(event: string, fields?: LogFields): void;
  error(event: string, fields?: LogFields): void;
}

export interface EngineCapabilities {
  /** What was accepted survives the end of the process. */
  readonly durable: boolean;
  /** Several servers may use the same data at once. */
  readonly shared: boolean;
  /** It can write a backup by itself; others are backed up with their database's own tools. */
  readonly backup: boolean;
}

export interface SendReceipt {
  /** The queue just after this send, these messages included. */
  readonly backlog: Backlog;
  readonly readiness: Readiness;
  /** With `resend`: how many of the messages were there already. */
  readonly known?: number;
}

export interface LeaseRequest {
  /** At most this many messages, 1 to 500. */
  readonly max: number;
  /** Lease only when this window says so (`decideWindow`), judged in the same step; `undefined`: whatever is ready. */
  readonly window: BatchWindow | undefined;
  /** How long the lease hides the messages. */
  readonly visibility: Milliseconds;
  readonly holder: Holder;
  /**
   * Absent or `true`: the lease is as safe as a message when it is answered. `false`: when the machine fails it may be as if it had
   * never been asked for, which is what becomes of the leases of a server that ends anyway; so nobody need wait for the disk.
   */
  readonly durable?: boolean;
  /**
   * `true`: it comes after the sends that `onSending` told of in the same turn, and is answered together with them. What they
   * bring is then leased by the time it is known to be stored.
   */
  readonly afterSends?: boolean;
}

/** Decisions on leased messages, applied in one atomic step. */
export interface SettleRequest {
  /** Decisions on single messages; they go before `whole`. */
  readonly each: readonly LeaseDecision[];
  /** A decision for every message of a batch that is still leased under it and not named in `each`. */
  readonly whole: readonly { readonly batch: BatchId; readonly decision: Decision }[];
  /**
   * Absent or `true`: on disk when it is answered. `false`: nobody is told, so that it need not wait for the disk. It survives the
   * end of the server at once and that of the machine a hundredth of a second later; what a failing machine forgets is delivered again.
   */
  readonly durable?: boolean;
}

export interface SettleReceipt {
  /** Messages the decisions were applied to, those in `late` included. */
  readonly done: number;
  /**
   * Leases that had ended but whose ack was honoured because the message was still stored, though somebody else may hold
   * it meanwhile (queues-contract.md section 10, late ack).
   */
  readonly late: readonly LeaseId[];
  /** Leases that no longer mean anything: settled before, expired and not an ack, purged. A result, not an error. */
  readonly stale: readonly LeaseId[];
  readonly backlog: Backlog;
  readonly readiness: Readiness;
}

export interface ExpiredLease {
  readonly lease: LeaseId;
  readonly id: MessageId;
  readonly attempts: number;
}

/** Where a queue stands; for starting loops without reading the backlog. */
export interface QueueSurvey {
  readonly queue: QueueId;
  readonly backlog: Backlog;
  readonly readiness: Readiness;
}

/** A survey of one queue, with what became of everything it ever accepted. */
export interface QueueMetrics extends QueueSurvey, Pick<CountedQueue, "accounting" | "held"> {
  /** Of those held: messages that are damaged on disk and given to nobody. Absent where nothing is read back from a disk. */
  readonly setAside?: number;
}

/** How far a backup is. Both numbers may grow while the data does. */
export interface BackupProgress {
  readonly copiedBytes: number;
  /** 0: not known yet. */
  readonly totalBytes: number;
}

/** A place among the deliveries that may run at once. */
export interface Slot {
  /** Frees the place. May be called twice. */
  release(): Promise<void>;
}

/**
 * Stores messages and hands them out. Every operation is atomic, and on disk when its promise resolves (durable engines; but for
 * what is asked with `durable: false`).
 * All may be called concurrently. Time comes from the Clock the engine was opened with.
 *
 * Errors (`MillraceError`): `QUEUE_NOT_FOUND`; `UNAVAILABLE` (nothing happened, try again), `UNKNOWN_OUTCOME` (it may have
 * happened: try again with the same message ids), `STORAGE_FULL`, `DATA_DAMAGED`, `ENGINE_CLOSED`.
 *
 * Storage for a queue is made and removed by `catalog.commit` in the same atomic step as the queue's record.
 */
export interface StorageEngine extends AsyncDisposable {
  /** `memory`, `sqlite`, … */
  readonly name: string;
  readonly capabilities: EngineCapabilities;
  readonly catalog: CatalogStore;

  /**
   * Stores all messages or none. With `resend`, messages whose id is still stored are skipped, so that repeating a send whose
   * outcome is unknown does not double it. They are looked for among what was stored since they were sent; with `anyAge`, among all.
   */
  send(
    queue: QueueId,
    messages: readonly NewMessage[],
    options?: { readonly resend?: boolean; readonly anyAge?: boolean },
  ): Promise<SendReceipt>;

  /**
   * Leases distinct messages, each to one holder only, longest ready first (best effort). A message whose lease has ended is
   * not ready again by itself: see `expiredLeases`. Delayed messages that are due are ready.
   */
  lease(queue: QueueId, request: LeaseRequest): Promise<LeasedBatch>;

  /** Applies decisions. Unknown or ended leases are reported, never thrown. A dead-letter target must exist. */
  settle(queue: QueueId, request: SettleRequest): Promise<SettleReceipt>;

  /** Moves the end of leases still held to `endsAt`; answers those that could not be moved. */
  extend(queue: QueueId, leases: readonly LeaseId[], endsAt: EpochMs): Promise<{ readonly stale: readonly LeaseId[] }>;

  /** Leases that have ended and that nobody settled, oldest first, at most `limit`. They stay leased until settled. */
  expiredLeases(queue: QueueId, limit: number): Promise<readonly ExpiredLease[]>;

  /**
   * Gives back everything a holder has, in all queues, without counting the attempt: the holder is known to be gone.
   * Answers how many messages.
   */
  releaseHolder(holder: Holder): Promise<number>;

  /** All holders of leases, so that a starting server can release those of servers that are gone. */
  holders(): Promise<readonly Holder[]>;

  /** Looks at messages without leasing, oldest first. `max` 1 to 100; `after` continues behind a ref. */
  peek(
    queue: QueueId,
    options: { readonly max: number; readonly after?: MessageRef | undefined },
  ): Promise<readonly PeekedMessage[]>;

  /**
   * Deletes what was stored when the purge began, in slices: call until `more` is false. The first call (no `token`) marks the
   * extent, so messages sent meanwhile survive. Leases on purged messages become stale.
   */
  purge(
    queue: QueueId,
    token: string | undefined,
  ): Promise<{ readonly purged: number; readonly more: boolean; readonly token: string }>;

  /** Deletes single messages by ref, leased ones too. Unknown refs are answered, not thrown. */
  purgeByRef(
    queue: QueueId,
    refs: readonly MessageRef[],
  ): Promise<{ readonly purged: number; readonly unknown: readonly MessageRef[] }>;

  metrics(queue: QueueId): Promise<QueueMetrics>;

  /**
   * Recounts a queue by reading every message in it, trusting no counter. In slices, so that sends do not wait for long; the answer
   * is nevertheless exact for the moment of the last slice, whatever came and went meanwhile. `proceed` is asked between slices:
   * when it says false the recount is given up and `undefined` is answered.
   */
  verify(queue: QueueId, proceed?: () => boolean): Promise<Recount | undefined>;

  /**
   * Writes everything stored to a file of its own that must not exist yet: as of one commit, not before this call. Nothing waits
   * for it for long, and memory stays bounded. `proceed` is told now and then how far it is, and asked whether to go on; when it
   * says false, nothing is left behind and false is answered. One at a time: others are refused with `UNAVAILABLE`.
   * Throws `UNSUPPORTED` where `capabilities.backup` is false, and what writing the file throws; nothing is left behind then.
   */
  backup(file: string, proceed?: (progress: BackupProgress) => boolean): Promise<boolean>;

  /** Every queue with a backlog or leases. Bounded work per queue; never reads the backlog itself. */
  survey(): Promise<readonly QueueSurvey[]>;

  /**
   * Deletes at most `limit` messages that came into the queue before `storedBefore`, whatever their state but leased.
   * `nextStoredAt`: when the oldest left came in, for planning the next sweep; `undefined` when none is left.
   */
  sweep(
    queue: QueueId,
    storedBefore: EpochMs,
    limit: number,
  ): Promise<{ readonly expired: number; readonly more: boolean; readonly nextStoredAt: EpochMs | undefined }>;

  /**
   * Takes one of at most `max` places for deliveries of a queue over all servers; `undefined` when all are taken.
   * The place is lost when it is not released within `ttl`.
   */
  acquireSlot(queue: QueueId, holder: Holder, max: number, ttl: Milliseconds): Promise<Slot | undefined>;

  /**
   * Calls back when a queue may have something to lease. A hint: it may be lost or come for nothing; `readiness`, where
   * given, is how the queue stood. Returns the way to stop listening.
   */
  onWake(listener: (queue: QueueId, readiness: Readiness | undefined) => void): () => void;

  /**
   * Calls back while a send is on its way, with how many of its messages will be ready at once: whoever wants them may ask for them
   * now (`LeaseRequest.afterSends`) instead of when they are stored. A hint: the send may fail, and engines to which it is of no use
   * never call. Returns the way to stop listening.
   */
  onSending(listener: (queue: QueueId, messages: number) => void): () => void;
}
