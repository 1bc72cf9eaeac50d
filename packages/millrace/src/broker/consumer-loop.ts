// Delivers one queue to one Worker: waits for a batch, leases it, hands it over, settles it.
//
// States, derived from what it holds rather than stored: idle (nothing due: an alarm or a wake-up moves it on), leasing (batches for
// free places, and a few ahead for a quick handler; one round at a time), delivering (up to the concurrency target at once), settling (handlers that ended make room for the next
// batch at once, up to a bound), stopped (never leases again; what is being delivered and settled finishes). Wake-ups only set
// facts and call `#advance`; the loop takes a bounded batch when it is ready.

import {
  acksAll,
  after,
  aheadFor,
  averageTime,
  batchesToLease,
  decideWindow,
  epochMs,
  initialConcurrency,
  milliseconds,
  reconsider,
  mostAhead,
  settleDelivery,
} from "../core/index.ts";
import type {
  Backlog,
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
  Milliseconds,
  QueueRecord,
  Readiness,
  SettleReceipt,
  SettleRequest,
  Slot,
  StorageEngine,
  WorkerConsumerRecord,
} from "../core/index.ts";
import { limits } from "../contract/index.ts";
import { AcksTogether } from "./acks-together.ts";
import type { Alarms } from "./alarms.ts";
import { BatchesAhead } from "./batches-ahead.ts";
import type { BatchAhead } from "./batches-ahead.ts";
import { failureText, reportDelivered, reportSettled, resultOf } from "./delivery-report.ts";
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
/** A place is asked for anew after that, long before it lapses. */
const slotReusedForMs = 60_000;

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
  readonly #deliveries = new Set<Promise<void>>();
  /** Ends all deliveries, those that would still begin too: aborted by a stop alone. */
  readonly #cancelling = new AbortController();
  /** Of these, those whose handler has not ended. */
  #running = 0;
  readonly #ahead: BatchesAhead;
  readonly #acks: AcksTogether;
  #averageMs: Milliseconds | undefined;
  #backlog: Backlog = { count: 0, bytes: 0, oldestSentAt: undefined };
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
    const { clock, alarms } = dependencies;
    const giveBack = (batches: readonly BatchAhead[]): void => {
      this.#averageMs = aheadFor; // what runs takes longer than that
      this.#giveBack(batches);
    };
    this.#ahead = new BatchesAhead({ clock, alarms, alarmKey: `${this.#alarmKey}:ahead`, giveBack });
    const settle = async (batches: readonly BatchId[]): Promise<SettleReceipt> =>
      await dependencies.settler.settleForGood(queue.id, this.#consumer, () => ({
        each: [],
        whole: batches.map((batch) => ({ batch, decision: { kind: "ack" } })),
      }));
    this.#acks = new AcksTogether({ clock, alarms, alarmKey: `${this.#alarmKey}:acks`, settle });
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

  /**
   * So many messages are on their way into the queue. Where they will be enough for a batch that nobody need wait for, it is asked for
   * now: the store answers the send and the lease together.
   */
  expect(messages: number): void {
    if (this.#leasing !== undefined || this.#places === 0) return;
    if (this.state().kind !== "waiting") return;
    const now = this.#dependencies.clock.now();
    const { ready, ...known } = this.#readinessAt(now);
    const expected: Readiness = { ...known, ready: ready + messages };
    if (decideWindow(expected, this.#window, now).kind === "deliver") this.#leasing = this.#leaseSome(1, true);
  }

  /** The Worker may take deliveries again. */
  workerReady(): void {
    this.#clearBackoff();
    this.#advance();
  }

  /** Leases nothing more. Resolves when what is being delivered is settled; aborting the signal gives it back instead. */
  async stop(signal?: AbortSignal): Promise<void> {
    this.#stopped = true;
    this.#advance();
    const cancelAll = (): void => this.#cancelling.abort();
    if (signal?.aborted === true) cancelAll();
    signal?.addEventListener("abort", cancelAll, { once: true });
    await this.#leasing;
    await Promise.all(this.#deliveries);
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
    if (this.#ahead.size > 0) return { kind: "leasing" };
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
    const { alarms } = this.#dependencies;
    const state = this.state();
    if (state.kind !== "leasing" && state.kind !== "atConcurrency") this.#giveBack(this.#ahead.takeAll());
    if (!this.#isBusy) this.#acks.send();
    if (this.#leasing !== undefined) return;
    switch (state.kind) {
      case "leasing":
      case "atConcurrency": {
        alarms.clear(this.#alarmKey);
        const batches = this.#batchesToLease();
        // At its concurrency it goes on when a delivery ends.
        if (batches > 0 || state.kind === "leasing") this.#leasing = this.#leaseSome(batches);
        return;
      }
      case "waiting":
      case "backingOff":
        if (state.until === undefined) alarms.clear(this.#alarmKey);
        else this.#advanceAt(state.until);
        return;
      case "stopped":
      case "paused":
      case "workerNotReady":
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

  get #places(): number {
    return Math.max(0, this.concurrencyTarget - this.#running);
  }

  #batchesToLease(): number {
    if (this.#deliveries.size - this.#running >= mostSettling) return 0;
    const now = this.#dependencies.clock.now();
    const readiness = this.#readinessAt(now);
    if (decideWindow(readiness, this.#window, now).kind === "wait") return 0;
    const { batch_size: batchSize } = this.#consumer;
    const concurrency = this.concurrencyTarget;
    return batchesToLease({
      places: this.#places,
      ahead: this.#ahead.size,
      mostAhead: mostAhead({ averageMs: this.#averageMs, concurrency, batchSize, backlog: this.#backlog }),
      ready: readiness.ready,
      batchSize,
    });
  }

  /** Leases so many batches, and begins the delivery of as many of them, or of those ahead, as there are places. Never rejects. */
  async #leaseSome(batches: number, afterSends = false): Promise<void> {
    const { clock, logger } = this.#dependencies;
    const queue = this.#queue;
    const slots: Slot[] = [];
    try {
      const wanted = Math.min(this.#places, this.#ahead.size + batches);
      await this.#takePlaces(slots, wanted);
      if (wanted > 0 && slots.length === 0) {
        this.#backOff("other servers hold all places of max_concurrency", slotPollMs);
        return;
      }
      await this.#lease(batches - (wanted - slots.length), afterSends);
    } catch (error) {
      this.#failures += 1;
      const waitMs = backoffMs(this.#failures);
      logger.warn("lease.failed", { queue: queue.name, error: String(error), retry_in_ms: waitMs });
      this.#backOff(String(error), waitMs);
    } finally {
      const since = clock.now();
      for (const slot of slots) {
        const next = this.#ahead.take();
        if (next === undefined) await this.#free(slot);
        else this.#start(next, { slot, since });
      }
      this.#leasing = undefined;
      if (this.#askAgain) this.#readiness = unknownReadiness;
      this.#askAgain = false;
      if (clock.now() >= (this.#backoff?.until ?? 0)) this.#backoff = undefined;
      this.#advance();
    }
  }

  async #takePlaces(slots: Slot[], wanted: number): Promise<void> {
    const { engine, holder } = this.#dependencies;
    while (slots.length < wanted) {
      const slot = await engine.acquireSlot(this.#queue.id, holder, this.concurrencyTarget, visibility);
      if (slot === undefined) return;
      slots.push(slot);
    }
  }

  /** Asks for so many batches in one go. What was leased is kept even when others of them failed. */
  async #lease(batches: number, afterSends: boolean): Promise<void> {
    const { engine, holder, observe } = this.#dependencies;
    const queue = this.#queue;
    const window = this.#window;
    const request = { max: window.size, window, visibility, holder, durable: false, afterSends };
    this.#acks.send();
    const outcomes = await Promise.allSettled(
      Array.from({ length: batches }, async () => await engine.lease(queue.id, request)),
    );
    for (const outcome of outcomes) {
      if (outcome.status === "rejected") continue;
      const { value: leased } = outcome;
      this.#readiness = leased.readiness;
      this.#backlog = leased.backlog;
      observe(queue, leased.readiness);
      if (leased.batch !== undefined) this.#ahead.add({ batch: leased.batch, leased });
    }
    const failure = outcomes.find((outcome) => outcome.status === "rejected");
    if (failure !== undefined) throw failure.reason;
  }

  #start({ batch, leased }: BatchAhead, place: { readonly slot: Slot; readonly since: EpochMs }): void {
    this.#running += 1;
    let hasMadeRoom = false;
    const makeRoom = (): void => {
      if (hasMadeRoom) return;
      hasMadeRoom = true;
      this.#running -= 1;
      this.#passOn(place);
      this.#advance();
    };
    this.#track(leased, this.#deliver(batch, leased, makeRoom), makeRoom);
  }

  /** Handlers that run, and batches for them when they end: soon there will be more to settle. */
  get #isBusy(): boolean {
    return this.#running > 0 && this.#ahead.size > 0;
  }

  /** A place is free again: the next batch ahead gets it at once. */
  #passOn(place: { readonly slot: Slot; readonly since: EpochMs }): void {
    const isYoung = this.#dependencies.clock.now() - place.since < slotReusedForMs;
    const next = isYoung && this.state().kind === "leasing" ? this.#ahead.take() : undefined;
    if (next === undefined) void this.#free(place.slot);
    else this.#start(next, place);
  }

  /** Nobody got these: they go back without costing an attempt. */
  #giveBack(batches: readonly BatchAhead[]): void {
    for (const { batch, leased } of batches) this.#track(leased, this.#release(batch));
  }

  async #release(batch: BatchId): Promise<void> {
    const queue = this.#queue;
    const { settler, observe } = this.#dependencies;
    const receipt = await settler.settleForGood(queue.id, this.#consumer, () => ({
      each: [],
      whole: [{ batch, decision: { kind: "release" } }],
    }));
    this.#readiness = receipt.readiness;
    observe(queue, receipt.readiness);
  }

  #track(leased: LeasedBatch, work: Promise<void>, atLast?: () => void): void {
    const tracked = work
      .catch((error: unknown) => {
        // The leases end by themselves and the messages come back.
        this.#dependencies.logger.error("settle.failed", {
          queue: this.#queue.name,
          count: leased.messages.length,
          error: String(error),
        });
      })
      .finally(() => {
        atLast?.();
        this.#deliveries.delete(tracked);
        this.#advance();
      });
    this.#deliveries.add(tracked);
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
  async #deliver(batch: BatchId, leased: LeasedBatch, makeRoom: () => void): Promise<void> {
    const { target, settler, clock, logger, observe } = this.#dependencies;
    const queue = this.#queue;
    const consumer = this.#consumer;
    const { messages } = leased;
    const startedAt = clock.now();
    reportDelivered(logger, { queue: queue.name, consumer, batch, messages });
    const delivery = { queue: queue.name, messages, backlog: leased.backlog };
    const outcome = await target.deliver(consumer.script, delivery, this.#cancelling.signal);
    const result = resultOf(outcome);
    if (outcome.kind === "completed") {
      this.#averageMs = averageTime(this.#averageMs, milliseconds(Math.max(0, clock.now() - startedAt)));
    }
    this.#learnOutcome(outcome, result);
    let decisions: readonly Decision[] | undefined;
    // Asked for before the next lease is, so that both travel to the store together.
    const settling =
      result !== undefined && acksAll(result)
        ? this.#acks.add(batch)
        : settler.settleForGood(queue.id, consumer, (policy) => {
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
    const facts = { queue: queue.name, consumer, batch, messages, decisions, outcome, startedAt, endedAt: clock.now() };
    reportSettled(logger, facts);
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
    // What is leased ahead waits for a place too.
    const ready = readiness.ready + this.#ahead.messages;
    this.#concurrency = reconsider(
      this.#concurrency,
      { failed, ready, batchSize: this.#consumer.batch_size },
      this.#ceiling,
    );
  }

  #backOff(reason: string, waitMs: number): void {
    this.#backoff = { until: after(this.#dependencies.clock.now(), milliseconds(waitMs)), reason };
  }

  #clearBackoff(): void {
    this.#backoff = undefined;
    this.#failures = 0;
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

function backoffMs(failures: number): number {
  return Math.min(lastBackoffMs, firstBackoffMs * 2 ** Math.min(10, failures - 1));
}
