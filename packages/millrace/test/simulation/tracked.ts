// What the ledger knows of each message, lease and queue: seen from outside, by what the store did and what consumers said.

import type { Accounting, BatchId, EpochMs, Holder, LeaseId, MessageId, QueueId } from "../../src/core/index.ts";
import type { SimulatedProcess } from "./simulated-process.ts";

/** What a consumer said of one delivery of one message, or what was said for it. */
export type Said = { readonly at: number } & (
  | { readonly kind: "ack" }
  /** `delayMs` undefined: the consumer's own. */
  | { readonly kind: "retry"; readonly delayMs: number | undefined }
  | { readonly kind: "notDelivered" }
  | { readonly kind: "cancelled" }
);

export interface TrackedLease {
  readonly lease: LeaseId;
  readonly batch: BatchId;
  readonly queue: QueueId;
  readonly message: TrackedMessage;
  /** Which stay of the message in a queue it belongs to. */
  readonly stay: number;
  readonly attempts: number;
  readonly holder: Holder;
  readonly process: SimulatedProcess;
  readonly leasedAt: number;
  /** How long it was to last when it was taken. */
  readonly visibilityMs: number;
  endsAt: EpochMs;
  /** It was extended after it had ended: somebody may be about to take it back. */
  hadEnded: boolean;
  /** When a consumer got it. */
  handedAt: number | undefined;
  readonly said: Said[];
  /** How often the store was asked to settle it, and did not say that it did. */
  failedSettlements: number;
  /** Nobody works on it any more. */
  finished: boolean;
}

export interface TrackedMessage {
  readonly id: MessageId;
  readonly text: string;
  readonly sentAt: EpochMs;
  readonly contentType: string;
  /** Where it is; `undefined` once it is gone. */
  queue: QueueId | undefined;
  /** Why it is gone. */
  end: Outcome | undefined;
  /** Grows when it moves to another queue. */
  stay: number;
  storedAt: EpochMs;
  storedAtMono: number;
  visibleAt: EpochMs;
  visibleSince: number;
  attempts: number;
  /** Deliveries of this stay that a consumer got, or may have got. */
  got: number;
  lease: TrackedLease | undefined;
  /** What happened to it, for the report. */
  readonly trail: string[];
}

export type Outcome = Exclude<keyof Accounting, "accepted" | "deadLettered"> | "deleted with its queue";

export interface TrackedQueue {
  readonly id: QueueId;
  /** In order of arrival. */
  readonly messages: Set<TrackedMessage>;
  readonly counts: { -readonly [K in keyof Accounting]: number };
  /** What each purge may take, by the token that continues it. */
  readonly purges: Map<string, ReadonlySet<TrackedMessage>>;
}

/** The message's life, for a report. */
export function lifeOf(message: TrackedMessage): string {
  return `message ${message.text} (${message.id}):\n${message.trail.map((line) => `    ${line}`).join("\n")}`;
}

export function textOf(body: Uint8Array): string {
  return new TextDecoder().decode(body);
}
