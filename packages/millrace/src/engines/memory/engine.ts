// The reference engine: everything in maps, one process, nothing survives it. Says in the plainest way what an engine means;
// every other engine is compared with it.

import { decideWindow, LocalSlots, MillraceError } from "../../core/index.ts";
import type {
  Clock,
  EngineCapabilities,
  EpochMs,
  ExpiredLease,
  Holder,
  LeaseId,
  LeasedBatch,
  LeaseRequest,
  MessageRef,
  Milliseconds,
  NewMessage,
  PeekedMessage,
  QueueId,
  QueueMetrics,
  QueueSurvey,
  Readiness,
  Recount,
  SendReceipt,
  SettleReceipt,
  SettleRequest,
  Slot,
  StorageEngine,
} from "../../core/index.ts";
import { MemoryCatalog } from "./catalog.ts";
import { MemoryQueue, Sequence } from "./queue.ts";

type WakeListener = (queue: QueueId, readiness: Readiness | undefined) => void;

/** Opens an empty engine. */
export async function openMemoryEngine(options: { readonly clock: Clock }): Promise<StorageEngine> {
  return new MemoryEngine(options.clock);
}

class MemoryEngine implements StorageEngine {
  readonly name = "memory";
  readonly capabilities: EngineCapabilities = { durable: false, shared: false, backup: false };
  readonly catalog: MemoryCatalog;
  readonly #clock: Clock;
  readonly #slots: LocalSlots;
  readonly #sequence = new Sequence();
  readonly #queues = new Map<QueueId, MemoryQueue>();
  readonly #listeners = new Set<WakeListener>();
  #closed = false;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#slots = new LocalSlots(clock);
    this.catalog = new MemoryCatalog(() => this.#assertOpen(), {
      exists: (queue) => this.#queues.has(queue),
      create: (queue) => void this.#queues.set(queue, new MemoryQueue(this.#sequence)),
      drop: (queue) => void this.#queues.delete(queue),
    });
  }

  async send(
    id: QueueId,
    messages: readonly NewMessage[],
    options: { readonly resend?: boolean } = {},
  ): Promise<SendReceipt> {
    const queue = this.#queue(id);
    const now = this.#clock.now();
    let known = 0;
    for (const message of messages) {
      if (options.resend === true && queue.holds(message.id)) known += 1;
      else queue.add(message, now);
    }
    const receipt = this.#woken(id, queue);
    return options.resend === true ? { ...receipt, known } : receipt;
  }

  async lease(id: QueueId, request: LeaseRequest): Promise<LeasedBatch> {
    const queue = this.#queue(id);
    const now = this.#clock.now();
    const due =
      request.window === undefined || decideWindow(queue.readiness(now), request.window, now).kind === "deliver";
    const leased = due ? queue.lease(request, now) : { batch: undefined, messages: [] };
    return { ...leased, backlog: queue.backlog(), readiness: queue.readiness(now) };
  }

  async settle(id: QueueId, request: SettleRequest): Promise<SettleReceipt> {
    const queue = this.#queue(id);
    const now = this.#clock.now();
    const targets = new Map<QueueId, MemoryQueue>();
    for (const { decision } of [...request.each, ...request.whole]) {
      if (decision.kind === "deadLetter") targets.set(decision.queue, this.#queue(decision.queue));
    }
    const outcome = queue.settle(request, now, targets);
    for (const [target, targetQueue] of targets) this.#woken(target, targetQueue);
    return { ...outcome, ...this.#woken(id, queue) };
  }

  async extend(id: QueueId, leases: readonly LeaseId[], endsAt: EpochMs): Promise<{ readonly stale: LeaseId[] }> {
    return { stale: this.#queue(id).extend(leases, endsAt) };
  }

  async expiredLeases(id: QueueId, limit: number): Promise<readonly ExpiredLease[]> {
    return this.#queue(id).expiredLeases(this.#clock.now(), limit);
  }

  async releaseHolder(holder: Holder): Promise<number> {
    this.#assertOpen();
    let released = 0;
    for (const [id, queue] of this.#queues) {
      const count = queue.releaseHolder(holder);
      if (count > 0) this.#woken(id, queue);
      released += count;
    }
    return released;
  }

  async holders(): Promise<readonly Holder[]> {
    this.#assertOpen();
    return [...new Set([...this.#queues.values()].flatMap((queue) => queue.holders()))];
  }

  async peek(
    id: QueueId,
    options: { readonly max: number; readonly after?: MessageRef | undefined },
  ): Promise<readonly PeekedMessage[]> {
    return this.#queue(id).peek(options.max, options.after, this.#clock.now());
  }

  async purge(id: QueueId, token: string | undefined): Promise<{ purged: number; more: boolean; token: string }> {
    const queue = this.#queue(id);
    return { purged: token === undefined ? queue.purge() : 0, more: false, token: token ?? "all" };
  }

  async purgeByRef(
    id: QueueId,
    refs: readonly MessageRef[],
  ): Promise<{ readonly purged: number; readonly unknown: readonly MessageRef[] }> {
    return this.#queue(id).purgeByRef(refs);
  }

  async metrics(id: QueueId): Promise<QueueMetrics> {
    const queue = this.#queue(id);
    return { ...this.#survey(id, queue), accounting: queue.accounting(), held: queue.held() };
  }

  async verify(id: QueueId): Promise<Recount> {
    return this.#queue(id).recount();
  }

  async backup(): Promise<boolean> {
    throw new MillraceError("UNSUPPORTED", "What is kept in memory only cannot be backed up");
  }

  async survey(): Promise<readonly QueueSurvey[]> {
    this.#assertOpen();
    return [...this.#queues]
      .filter(([, queue]) => queue.backlog().count > 0)
      .map(([id, queue]) => this.#survey(id, queue));
  }

  async sweep(
    id: QueueId,
    storedBefore: EpochMs,
    limit: number,
  ): Promise<{ readonly expired: number; readonly more: boolean; readonly nextStoredAt: EpochMs | undefined }> {
    return this.#queue(id).sweep(storedBefore, limit);
  }

  async acquireSlot(queue: QueueId, holder: Holder, max: number, ttl: Milliseconds): Promise<Slot | undefined> {
    this.#assertOpen();
    return this.#slots.acquire(queue, holder, max, ttl);
  }

  /** What is sent is there at once. */
  onSending(): () => void {
    return () => undefined;
  }

  onWake(listener: WakeListener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#listeners.clear();
  }

  #survey(id: QueueId, queue: MemoryQueue): QueueSurvey {
    return { queue: id, backlog: queue.backlog(), readiness: queue.readiness(this.#clock.now()) };
  }

  #woken(id: QueueId, queue: MemoryQueue): SendReceipt {
    const receipt = { backlog: queue.backlog(), readiness: queue.readiness(this.#clock.now()) };
    // Listeners run after the caller has gone on, as with an engine that works elsewhere.
    queueMicrotask(() => {
      for (const listener of this.#listeners) listener(id, receipt.readiness);
    });
    return receipt;
  }

  #queue(id: QueueId): MemoryQueue {
    this.#assertOpen();
    const queue = this.#queues.get(id);
    if (queue === undefined) throw new MillraceError("QUEUE_NOT_FOUND", `Queue ${id} does not exist`);
    return queue;
  }

  #assertOpen(): void {
    if (this.#closed) throw new MillraceError("ENGINE_CLOSED", "The storage engine is closed");
  }
}
