// What must hold when a message is stored, leased and handed over: delays, batch windows, attempts, and one holder at a time.

import { pullHolder } from "../../src/core/index.ts";
import type { Holder, LeasedMessage, LeaseRequest, NewMessage, QueueId } from "../../src/core/index.ts";
import { redriveHolder } from "./judge.ts";
import type { Ledger } from "./ledger.ts";
import { textOf } from "./tracked.ts";
import type { TrackedLease, TrackedMessage, TrackedQueue } from "./tracked.ts";

/** Source: queues-contract.md section 9. */
const handlerMayTakeMs = 900_000;

/** A message as its consumer got it. */
export type HandedMessage = Pick<LeasedMessage, "id" | "lease" | "attempts" | "body" | "sentAt" | "contentType">;

/** The delay a message is stored with is the one that was asked for. */
export function checkDelay(
  ledger: Ledger,
  queueId: QueueId,
  tracked: TrackedMessage,
  message: NewMessage,
  askedAt: number,
): void {
  const expectation = ledger.requests.expectationOf(tracked.text);
  if (expectation === undefined) {
    ledger.claim(false, "payload", () => `stored a message nobody sent: ${tracked.text}`);
    return;
  }
  const delays =
    expectation.delayS === null
      ? ledger.settings.queuesSince(queueId, askedAt).map((queue) => queue.delivery_delay_s)
      : [expectation.delayS];
  const timely = delays.some((delayS) =>
    delayS === 0 ? message.visibleAt === undefined : message.visibleAt === message.sentAt + delayS * 1_000,
  );
  ledger.claim(timely, "delay", () => `stored with a delay that is not ${delays.join(" or ")} s`, tracked);
}

/** Attempts grow by one a delivery, only for deliveries the consumer got, and never beyond the limit. */
export function checkAttempts(
  ledger: Ledger,
  queueId: QueueId,
  message: TrackedMessage,
  attempts: number,
  holder: Holder,
): void {
  const follows = attempts === message.attempts + 1;
  ledger.claim(follows, "attempts", () => `attempt ${attempts} follows attempt ${message.attempts}`, message);
  const earned = attempts <= message.got + 1;
  const text = (): string => `attempt ${attempts}, though its consumer got it ${message.got} times`;
  ledger.claim(earned, "attempts", text, message);
  if (holder === redriveHolder) return; // it delivers nothing
  const consumers = ledger.settings.consumersSince(queueId, Number.NEGATIVE_INFINITY);
  const limits = consumers.slice(1).map((consumer) => (consumer?.max_retries ?? Number.POSITIVE_INFINITY) + 1);
  const most = Math.max(...limits);
  ledger.claim(attempts <= most, "attempts", () => `attempt ${attempts} of ${most}`, message);
}

/** Batches are due when full or when the longest waiting has waited long enough; and then they are given. */
export function checkWindow(ledger: Ledger, queue: TrackedQueue, request: LeaseRequest, count: number): void {
  const name = ledger.settings.nameOf(queue.id);
  ledger.claim(count <= request.max, "window", () => `${count} messages of ${name} leased, ${request.max} asked for`);
  if (ledger.world.wentBack) return;
  const now = ledger.world.now();
  const ready = ledger.readyIn(queue);
  const { window } = request;
  const waited = (message: TrackedMessage): boolean => message.storedAt + (window?.timeout ?? 0) <= now;
  const mayBeDue = window === undefined || ready.length >= window.size || ready.some(waited);
  const early = (): string => `${count} messages of ${name} leased before their batch is due`;
  ledger.claim(count === 0 || mayBeDue, "window", early);
  const mustBeDue = window === undefined || ready.length >= window.size || (window.timeout === 0 && ready.length > 0);
  const expected = Math.min(ready.length, request.max);
  const few = (): string => `${count} messages of ${name} leased, though ${expected} were ready and asked for`;
  ledger.claim(!mustBeDue || count === expected, "readiness", few);
}

/** A lease of a server outlives the longest delivery: what a handler still has is nobody else's. */
export function checkVisibility(ledger: Ledger, { holder, visibility }: LeaseRequest): void {
  const outlives = holder === pullHolder || visibility > handlerMayTakeMs;
  ledger.claim(outlives, "double-lease", () => `${holder} leases for ${visibility} ms, and a handler may take longer`);
}

/** Nobody leases for a consumer that is long gone, or from a queue that is long paused. */
export function checkConsumer(ledger: Ledger, queueId: QueueId, { holder }: LeaseRequest, count: number): void {
  if (count === 0 || holder === redriveHolder) return;
  const { settings, world } = ledger;
  const type = holder === pullHolder ? "http_pull" : "worker";
  const isWanted = settings.consumersSince(queueId, world.mono).some((consumer) => consumer?.type === type);
  const name = settings.nameOf(queueId);
  ledger.claim(isWanted, "stop", () => `${holder} leases from ${name}, which has no ${type} consumer any more`);
  const isOpen = settings.queuesSince(queueId, world.mono).some(({ paused }) => !paused);
  ledger.claim(isOpen, "stop", () => `${holder} leases from ${name}, which is paused`);
}

/** A consumer gets what was sent, under a lease it has, once. */
export function checkHandOver(ledger: Ledger, lease: TrackedLease, handed: HandedMessage): void {
  const { message } = lease;
  const once = lease.handedAt === undefined || lease.holder === pullHolder;
  ledger.claim(once, "double-lease", () => "handed over twice under one lease", message);
  ledger.claim(
    lease.attempts === handed.attempts,
    "attempts",
    () => `leased as attempt ${lease.attempts}, handed over as attempt ${handed.attempts}`,
    message,
  );
  const same =
    textOf(handed.body) === message.text &&
    handed.sentAt === message.sentAt &&
    handed.contentType === message.contentType;
  ledger.claim(same, "payload", () => "it is not what was sent", message);
  const current = message.lease === lease || message.queue !== lease.queue;
  const over = ledger.world.wallSince(lease.leasedAt).most >= lease.endsAt;
  ledger.claim(current || over, "double-lease", () => "handed over though its lease was given back", message);
}
