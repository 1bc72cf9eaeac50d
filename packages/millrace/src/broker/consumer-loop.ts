// Delivers one queue to one Worker: waits for a batch, leases it, hands it over, settles it.
//
// States, derived from what it holds rather than stored: idle (nothing due: an alarm or a wake-up moves it on), leasing (one
// lease call at a time), delivering (up to the concurrency target at once), settling (handlers that ended make room for the next
// batch at once, up to a bound), stopped (never leases again; what is being delivered and settled finishes). Wake-ups only set
// facts and call `#advance`; the loop takes a bounded batch when it is ready.

import {
  after,
  decideWindow,
  epochMs,
  failedDelivery,
  initialConcurrency,
  milliseconds,
  reconsider,
  settleDelivery,
} from "../core/index.ts";
import type {
  BatchId,
  Clock,
  ConcurrencyState,
  Decision,
  DeliveryResult,
  EpochMs,
  Holder,
  LeasedBatch,
  LeasedMessage,
  Logger,
  QueueRecord,
  Readiness,
  SettleRequest,
  Slot,
  StorageEngine,
  WorkerConsumerRecord,
} from "../core/index.ts";
import { limits } from "../contract/index.ts";
import type { Alarms } from "./alarms.ts";
import type { DeliveryOutcome, PushTarget } from "./push-target.ts";
import type { Settler } from "./settler.ts";

export interface ConsumerLoopDependencies {
  readonly engine: StorageEngine;
  readonly target: PushTarget;
  readonly settler: Settler;
  readonly alarms: Alarms;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly holder: Holder;
  /** Told of every readiness the loop learns, for lease expiry and retention. */
  readonly observe: (queue: QueueRecord, readiness: Readiness) => void;
}

/** Nothing known yet: ask the store. */
const unknownReadiness: Readiness = {
  ready: 1,
  readySince: epochMs(0),
  nextDueAt: undefined,
  nextLeaseEndsAt: undefined,
};

/** A lease must outlive the longest delivery and its settlement. */
const visibility = milliseconds(limits.consumer.wallTimeMs + 120_000);
const firstBackoffMs = 50;
const lastBackoffMs = 5_000;
/** How often a place that other servers hold is asked for again, and one that could not be freed is freed again. */
const slotPollMs = 500;
/**
 * Deliveries whose handler has ended and whose settlement is on its way to the disk. The next batch does not wait for it: settlements
 * of a busy queue share a sync, and the Worker is kept busy meanwhile. A disk that falls behind stops the loop here.
 */
const mostSettling = 64;

/** Why the loop does not move; for `explain` and the console. */
export type LoopState =
  | { readonly kind: "stopped" }
  | { readonly kind: "paused" }
  | { readonly kind: "workerNotReady" }
  | { readonly kind: "atConcurrency"; readonly inFlight: number }
  | { readonly kind: "backingOff"; readonly until: EpochMs; readonly reason: string }
  | { readonly kind: "waiting"; readonly until: EpochMs | undefined }
  | { readonly kind: "leasing" };

export class ConsumerLoop {
  static #created = 0;
  readonly #dependencies: ConsumerLoopDependencies;
  readonly #alarmKey: string;
  readonly #deliveries = new Map<AbortController, Promise<void>>();
  /** Of these, those whose handler has not ended. */
  #running = 0;
  #queue: QueueRecord;
  #consumer: WorkerConsumerRecord;
  #readiness = unknownReadiness;
  #concurrency: ConcurrencyState = initialConcurrency;
  #leasing: Promise<void> | undefined;
  #backoff: { readonly until: EpochMs; readonly reason: string } | undefined;
  #failures = 0;
  #stopped = false;
  #askAgain = false;
  /** Numbers the places that could not be freed at once. */
  #slotsToFree = 0;
  /** The newest failure of the handler, until it succeeds again. */
  #lastFailure: { readonly at: EpochMs; readonly detail: string } | undefined;

  constructor(queue: QueueRecord, consumer: WorkerConsumerRecord, dependencies: ConsumerLoopDependencies) {
    this.#queue = queue;
    this.#consumer = consumer;
    this.#dependencies = dependencies;
    // Not by queue alone: a loop whose consumer was removed may still be delivering when the next one runs.
    ConsumerLoop.#created += 1;
    this.#alarmKey = `deliver:${queue.id}:${ConsumerLoop.#created}`;
  }

  /** Deliveries whose handler has not ended. */
  get inFlight(): number {
    return this.#running;
  }

  get lastFailure(): { readonly at: EpochMs; readonly detail: string } | undefined {
    return this.#lastFailure;
  }

  get concurrencyTarget(): number {
    return Math.min(this.#concurrency.target, this.#ceiling);
  }

  /** New settings; counts from the next batch on. */
  update(queue: QueueRecord, consumer: WorkerConsumerRecord): void {
    const sameWorker = consumer.script === this.#consumer.script;
    this.#queue = queue;
    this.#consumer = consumer;
    if (!sameWorker) this.#clearBackoff();
    this.#advance();
  }

  /** The queue may have something; `readiness` is how it stood, where known. */
  wake(readiness?: Readiness): void {
    this.#readiness = readiness ?? unknownReadiness;
    // A hint without a reading may be newer than the lease under way: ask once more after it.
    if (readiness === undefined) this.#askAgain = this.#leasing !== undefined;
    this.#advance();
  }

  /** The Worker may take deliveries again. */
  workerReady(): void {
    this.#clearBackoff();
    this.#advance();
  }

  /** Leases nothing more. Resolves when what is being delivered is settled; aborting the signal gives it back instead. */
  async stop(signal?: AbortSignal): Promise<void> {
    this.#stopped = true;
    this.#dependencies.alarms.clear(this.#alarmKey);
    const cancelAll = (): void => {
      for (const controller of this.#deliveries.keys()) controller.abort();
    };
    if (signal?.aborted === true) cancelAll();
    signal?.addEventListener("abort", cancelAll, { once: true });
    await this.#leasing;
    await Promise.all(this.#deliveries.values());
    signal?.removeEventListener("abort", cancelAll);
  }

  /** What the loop is waiting for. */
  state(): LoopState {
    if (this.#stopped) return { kind: "stopped" };
    if (this.#queue.paused) return { kind: "paused" };
    if (!this.#dependencies.target.isReady(this.#consumer.script)) return { kind: "workerNotReady" };
    const now = this.#dependencies.clock.now();
    if (this.#backoff !== undefined && this.#backoff.until > now) return { kind: "backingOff", ...this.#backoff };
    if (this.#running >= this.concurrencyTarget || this.#deliveries.size - this.#running >= mostSettling)
      return { kind: "atConcurrency", inFlight: this.#running };
    const decision = decideWindow(this.#readinessAt(now), this.#window, now);
    return decision.kind === "wait" ? { kind: "waiting", until: decision.at } : { kind: "leasing" };
  }

  get #ceiling(): number {
    return this.#consumer.max_concurrency ?? limits.consumer.maxConcurrency.max;
  }

  get #window(): { readonly size: number; readonly timeout: ReturnType<typeof milliseconds> } {
    return { size: this.#consumer.batch_size, timeout: milliseconds(this.#consumer.max_wait_ms) };
  }

  /** What is known of the queue now: a reading is out of date once a delayed message has become due. */
  #readinessAt(now: EpochMs): Readiness {
    const dueAt = this.#readiness.nextDueAt;
    return dueAt !== undefined && dueAt <= now ? unknownReadiness : this.#readiness;
  }

  #advance(): void {
    if (this.#leasing !== undefined) return;
    const { alarms } = this.#dependencies;
    const state = this.state();
    switch (state.kind) {
      case "leasing":
        alarms.clear(this.#alarmKey);
        this.#leasing = this.#leaseOne();
        return;
      case "waiting":
      case "backingOff":
        if (state.until === undefined) alarms.clear(this.#alarmKey);
        else this.#advanceAt(state.until);
        return;
      case "stopped":
      case "paused":
      case "workerNotReady":
      case "atConcurrency":
        // Each is ended by an event that calls `#advance`.
        alarms.clear(this.#alarmKey);
        return;
      default:
        state satisfies never;
    }
  }

  #advanceAt(at: EpochMs): void {
    this.#dependencies.alarms.set(this.#alarmKey, at, () => this.#advance());
  }

  /** Leases one batch and starts its delivery. Never rejects. */
  async #leaseOne(): Promise<void> {
    const { engine, clock, holder, logger, observe } = this.#dependencies;
    const queue = this.#queue;
    let slot: Slot | undefined;
    try {
      slot = await engine.acquireSlot(queue.id, holder, this.concurrencyTarget, visibility);
      if (slot === undefined) {
        this.#backOff("other servers hold all places of max_concurrency", slotPollMs);
        return;
      }
      const window = this.#window;
      const batch = await engine.lease(queue.id, { max: window.size, window, visibility, holder, durable: false });
      this.#readiness = batch.readiness;
      observe(queue, batch.readiness);
      if (batch.batch !== undefined) {
        this.#start(batch.batch, batch, slot);
        slot = undefined;
      }
    } catch (error) {
      this.#failures += 1;
      const waitMs = backoffMs(this.#failures);
      logger.warn("lease.failed", { queue: queue.name, error: String(error), retry_in_ms: waitMs });
      this.#backOff(String(error), waitMs);
    } finally {
      await this.#free(slot);
      this.#leasing = undefined;
      if (this.#askAgain) this.#readiness = unknownReadiness;
      this.#askAgain = false;
      if (clock.now() >= (this.#backoff?.until ?? 0)) this.#backoff = undefined;
      this.#advance();
    }
  }

  #start(batch: BatchId, leased: LeasedBatch, slot: Slot): void {
    const controller = new AbortController();
    this.#running += 1;
    let hasMadeRoom = false;
    const makeRoom = (): void => {
      if (hasMadeRoom) return;
      hasMadeRoom = true;
      this.#running -= 1;
      void this.#free(slot);
      this.#advance();
    };
    const delivery = this.#deliver(batch, leased, controller.signal, makeRoom)
      .catch((error: unknown) => {
        // The leases end by themselves and the messages come back.
        this.#dependencies.logger.error("settle.failed", {
          queue: this.#queue.name,
          count: leased.messages.length,
          error: String(error),
        });
      })
      .finally(() => {
        makeRoom();
        this.#deliveries.delete(controller);
        this.#advance();
      });
    this.#deliveries.set(controller, delivery);
  }

  /** Never rejects: a place that cannot be freed now is freed later, and lapses by itself if that fails too. */
  async #free(slot: Slot | undefined): Promise<void> {
    const { alarms, clock, logger } = this.#dependencies;
    try {
      await slot?.release();
    } catch (error) {
      const fields = { queue: this.#queue.name, error: String(error), retry_in_ms: slotPollMs };
      logger.warn("slot.release_failed", fields);
      this.#slotsToFree += 1;
      const key = `${this.#alarmKey}:slot:${this.#slotsToFree}`;
      alarms.set(key, after(clock.now(), milliseconds(slotPollMs)), () => void this.#free(slot));
    }
  }

  /** `makeRoom` is called once, when the handler has ended and its batch is about to be settled. */
  async #deliver(batch: BatchId, leased: LeasedBatch, signal: AbortSignal, makeRoom: () => void): Promise<void> {
    const { target, settler, clock, logger, observe } = this.#dependencies;
    const queue = this.#queue;
    const consumer = this.#consumer;
    const { messages } = leased;
    const startedAt = clock.now();
    logger.info("batch.delivered", {
      queue: queue.name,
      worker: consumer.script,
      batch,
      first_message_id: messages[0]?.id,
      count: messages.length,
      ...attemptRange(messages),
    });

    const delivery = { queue: queue.name, messages, backlog: leased.backlog };
    const outcome = await target.deliver(consumer.script, delivery, signal);
    const result = resultOf(outcome);
    this.#learnOutcome(outcome, result);
    let decisions: readonly Decision[] = [];
    // Asked for before the next lease is, so that both travel to the store together.
    const settling = settler.settle(queue.id, consumer, (policy) => {
      if (result === undefined || policy === undefined) {
        decisions = messages.map(() => ({ kind: "release" }));
        return { each: [], whole: [{ batch, decision: { kind: "release" } }] };
      }
      decisions = settleDelivery(messages, result, policy, clock.now());
      return settleRequest(batch, messages, decisions);
    });
    makeRoom();
    const receipt = await settling;
    this.#readiness = receipt.readiness;
    observe(queue, receipt.readiness);
    if (result !== undefined) this.#learnDemand(result, receipt.readiness);
    this.#report(consumer, batch, messages, decisions, outcome, clock.now() - startedAt);
  }

  /** Adjusts the backoff once the handler has ended. */
  #learnOutcome(outcome: DeliveryOutcome, result: DeliveryResult | undefined): void {
    if (result === undefined) {
      if (outcome.kind === "cancelled") return;
      this.#failures += 1;
      this.#backOff(outcome.kind === "notDelivered" ? outcome.detail : outcome.kind, backoffMs(this.#failures));
      return;
    }
    this.#failures = 0;
    const failed = result.outcome !== "ok";
    this.#lastFailure = failed
      ? { at: this.#dependencies.clock.now(), detail: failureText(outcome, result) }
      : undefined;
  }

  /** Adjusts concurrency once the batch is settled. */
  #learnDemand({ outcome }: DeliveryResult, readiness: Readiness): void {
    const failed = outcome !== "ok";
    this.#concurrency = reconsider(
      this.#concurrency,
      { failed, ready: readiness.ready, batchSize: this.#consumer.batch_size },
      this.#ceiling,
    );
  }

  #report(
    consumer: WorkerConsumerRecord,
    batch: BatchId,
    messages: readonly LeasedMessage[],
    decisions: readonly Decision[],
    outcome: DeliveryOutcome,
    ms: number,
  ): void {
    const { logger } = this.#dependencies;
    const queue = this.#queue.name;
    const count = (kind: Decision["kind"]): number => decisions.filter((decision) => decision.kind === kind).length;
    const retried = messages.filter((_, index) => decisions[index]?.kind === "retry");
    const delays = decisions.flatMap((decision) => (decision.kind === "retry" ? (decision.visibleAt ?? []) : []));
    const result = resultOf(outcome);
    const fields = {
      queue,
      worker: consumer.script,
      batch,
      outcome: result?.outcome ?? outcome.kind,
      acked: count("ack"),
      retried: count("retry"),
      deadLettered: count("deadLetter"),
      dropped: count("drop"),
      released: count("release"),
      ...(delays.length > 0 && { retry_in_ms: Math.max(0, Math.min(...delays) - this.#dependencies.clock.now()) }),
      ...(retried.length > 0 && {
        next_attempt: attemptRange(retried).attempts_max + 1,
        max_attempts: consumer.max_retries + 1,
      }),
      ms,
      ...(result?.outcome !== "ok" && { error: failureText(outcome, result) }),
    };
    if (result?.outcome === "ok") logger.info("batch.completed", fields);
    else if (outcome.kind === "cancelled") logger.info("batch.returned", fields);
    else logger.warn("batch.failed", fields);
    decisions.forEach((decision, index) => {
      const message = messages[index];
      if (message === undefined) return;
      if (decision.kind === "deadLetter") {
        const deadLetterQueue = consumer.dead_letter_queue?.queue_name;
        logger.warn("message.deadLettered", {
          queue,
          deadLetterQueue,
          messageId: message.id,
          attempts: message.attempts,
        });
      } else if (decision.kind === "drop") {
        logger.warn("message.dropped", { queue, messageId: message.id, attempts: message.attempts });
      }
    });
  }

  #backOff(reason: string, waitMs: number): void {
    this.#backoff = { until: after(this.#dependencies.clock.now(), milliseconds(waitMs)), reason };
  }

  #clearBackoff(): void {
    this.#backoff = undefined;
    this.#failures = 0;
  }
}

/** `undefined`: the delivery did not happen, or was called off; it costs no attempt. */
function resultOf(outcome: DeliveryOutcome): DeliveryResult | undefined {
  switch (outcome.kind) {
    case "completed":
      return outcome.result;
    case "died":
      return failedDelivery("daemonDown");
    case "timedOut":
      return failedDelivery("exceededWallTime");
    case "notDelivered":
    case "cancelled":
      return undefined;
    default:
      return outcome satisfies never;
  }
}

function failureText(outcome: DeliveryOutcome, result: DeliveryResult | undefined): string {
  switch (outcome.kind) {
    case "completed":
      return outcome.error === undefined
        ? `outcome ${result?.outcome ?? "unknown"}`
        : `${outcome.error.name}: ${outcome.error.message}`;
    case "died":
    case "timedOut":
    case "notDelivered":
      return outcome.detail;
    case "cancelled":
      return "the server is stopping";
    default:
      return outcome satisfies never;
  }
}

/** The most frequent case, one decision for all, takes one row; others are named message by message. */
function settleRequest(
  batch: BatchId,
  messages: readonly LeasedMessage[],
  decisions: readonly Decision[],
): SettleRequest {
  const acks = decisions.filter((decision) => decision.kind === "ack").length;
  if (acks === messages.length) return { each: [], whole: [{ batch, decision: { kind: "ack" } }] };
  return {
    each: messages.flatMap((message, index) => {
      const decision = decisions[index];
      return decision === undefined || (decision.kind === "ack" && acks > 0)
        ? []
        : [{ lease: message.lease, decision }];
    }),
    whole: acks > 0 ? [{ batch, decision: { kind: "ack" } }] : [],
  };
}

function attemptRange(messages: readonly LeasedMessage[]): {
  readonly attempts_min: number;
  readonly attempts_max: number;
} {
  let min = Number.POSITIVE_INFINITY;
  let max = 0;
  for (const { attempts } of messages) {
    min = Math.min(min, attempts);
    max = Math.max(max, attempts);
  }
  return { attempts_min: min, attempts_max: max };
}

function backoffMs(failures: number): number {
  return Math.min(lastBackoffMs, firstBackoffMs * 2 ** Math.min(10, failures - 1));
}
