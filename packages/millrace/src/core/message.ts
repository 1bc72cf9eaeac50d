// A message as it is stored, delivered and looked at.
//
// Life-cycle. `ready`: stored, any consumer may lease it. `delayed`: stored, not visible before a point in time; becomes
// ready by itself. `leased`: one consumer has it until it settles or the lease ends. From `leased` a message is deleted
// (ack), becomes ready or delayed again (retry, expired lease, failed handler), or is exhausted and moves to the dead
// letter queue or is dropped. From any state it may expire by retention or be purged.
// `attempts` counts deliveries, this one included; the first is 1.

import type { BatchId, LeaseId, MessageId, MessageRef } from "./identity.ts";
import type { EpochMs } from "./time.ts";

/** How a body was serialised. Source: reference/queues-contract.md section 2.2. */
export type ContentType = "json" | "text" | "bytes" | "v8";

export const contentTypes: readonly ContentType[] = ["json", "text", "bytes", "v8"];

/** `attempts` stays there once it is reached: the runtime passes it as 16 bits. Source: queues-contract.md section 3. */
export const maxAttempts = 65_535;

/** A message on its way into a queue. */
export interface NewMessage {
  readonly id: MessageId;
  /** When the producer sent it; kept for the life of the message, through dead lettering too. */
  readonly sentAt: EpochMs;
  readonly contentType: ContentType;
  /** Serialised body, never base64. The engine takes it over: callers do not change it afterwards. */
  readonly body: Uint8Array;
  /** First moment it may be delivered; `undefined` means at once. */
  readonly visibleAt: EpochMs | undefined;
  /** Where it came from when not from a program, for example `dash`; shown as `CF-sourceMessageSource`. */
  readonly source?: string | undefined;
}

/** What every view of a stored message shows. */
interface StoredMessage {
  readonly id: MessageId;
  readonly sentAt: EpochMs;
  readonly contentType: ContentType;
  readonly body: Uint8Array;
  readonly source?: string | undefined;
}

/** A message handed to a consumer. */
export interface LeasedMessage extends StoredMessage {
  readonly lease: LeaseId;
  /** Deliveries so far, this one included: 1 or more. */
  readonly attempts: number;
}

/** Messages leased together. `batch` is `undefined` exactly when `messages` is empty. */
export interface LeasedBatch {
  readonly batch: BatchId | undefined;
  readonly messages: readonly LeasedMessage[];
  /** The queue just after this lease. */
  readonly readiness: Readiness;
  readonly backlog: Backlog;
}

/** A message looked at without leasing it. */
export interface PeekedMessage extends StoredMessage {
  readonly ref: MessageRef;
  /** Deliveries so far; 0 when it was never delivered. */
  readonly attempts: number;
  readonly state: "ready" | "delayed" | "leased";
  /** For `delayed`: when it becomes ready. For `leased`: when the lease ends. */
  readonly until: EpochMs | undefined;
}

/** Messages stored and not yet acknowledged, those in flight and delayed included. */
export interface Backlog {
  readonly count: number;
  readonly bytes: number;
  /** Send time of the oldest; `undefined` when there is none. Best effort. */
  readonly oldestSentAt: EpochMs | undefined;
}

/** What may be leased from a queue, now and later. The batch window is decided from this alone. */
export interface Readiness {
  /** Messages that may be leased at once. */
  readonly ready: number;
  /** Since when the longest waiting ready message has been ready; `undefined` exactly when `ready` is 0. */
  readonly readySince: EpochMs | undefined;
  /** When the next delayed message becomes ready; `undefined` when none is delayed. Later than the call. */
  readonly nextDueAt: EpochMs | undefined;
  /** When the next lease ends; `undefined` when none is held. May lie in the past: somebody must expire it. */
  readonly nextLeaseEndsAt: EpochMs | undefined;
}

/**
 * Where every accepted message of a queue went. Always, at every commit:
 * `accepted = backlog.count + acked + deadLettered + expired + purged + dropped`.
 */
export interface Accounting {
  /** Messages that came in by send, redrive or as dead letters of another queue. */
  readonly accepted: number;
  readonly acked: number;
  /** Moved to another queue as dead letters. */
  readonly deadLettered: number;
  /** Deleted by retention. */
  readonly expired: number;
  readonly purged: number;
  /** Deleted because retries were exhausted and no dead letter queue is set. */
  readonly dropped: number;
}
