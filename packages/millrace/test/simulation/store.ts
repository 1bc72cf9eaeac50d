// The one store of a history, which outlives servers as a disk does: the memory engine, with every step entered in the books
// and what it holds afterwards audited. One step at a time: callers see to it that none overlaps another.

import { epochMs } from "../../src/core/index.ts";
import type {
  CatalogChange,
  EpochMs,
  ExpiredLease,
  Holder,
  LeasedBatch,
  LeaseId,
  LeaseRequest,
  MessageRef,
  NewMessage,
  QueueId,
  SendReceipt,
  SettleReceipt,
  SettleRequest,
  StorageEngine,
} from "../../src/core/index.ts";
import { audit, compareReadiness, contents } from "./audit.ts";
import type { Removal } from "./audit.ts";
import type { Ledger } from "./ledger.ts";
import type { SimulatedProcess } from "./simulated-process.ts";

/** Messages that one slice of a purge takes, where purges are sliced. */
const purgeSlice = 3;

export class Store {
  readonly engine: StorageEngine;
  readonly ledger: Ledger;
  readonly #slicedPurge: boolean;
  readonly #extents = new Map<string, MessageRef[]>();
  /** Of which queue each purge is, which server began it, and when. */
  readonly #begun = new Map<
    string,
    { readonly queue: QueueId; readonly process: SimulatedProcess; readonly since: number }
  >();
  #purges = 0;

  constructor(engine: StorageEngine, ledger: Ledger, options: { readonly slicedPurge: boolean }) {
    this.engine = engine;
    this.ledger = ledger;
    this.#slicedPurge = options.slicedPurge;
  }

  async send(
    queue: QueueId,
    messages: readonly NewMessage[],
    resend: boolean | undefined,
    askedAt: number,
  ): Promise<SendReceipt> {
    const receipt = await this.#step(queue, this.engine.send(queue, messages, resend === undefined ? {} : { resend }));
    const known = (message: NewMessage): boolean => this.ledger.messages.get(message.id)?.queue === queue;
    const added = resend === true ? messages.filter((message) => !known(message)) : messages;
    this.ledger.stored(queue, added, askedAt);
    await this.#audit(queue, receipt);
    return receipt;
  }

  async lease(process: SimulatedProcess, queue: QueueId, request: LeaseRequest): Promise<LeasedBatch> {
    const batch = await this.#step(queue, this.engine.lease(queue, request));
    this.ledger.leased(process, queue, request, batch);
    await this.#audit(queue, batch);
    return batch;
  }

  async settle(queue: QueueId, request: SettleRequest): Promise<SettleReceipt> {
    const receipt = await this.#step(queue, this.engine.settle(queue, request));
    this.ledger.settled(queue, request, receipt);
    const targets = [...request.each, ...request.whole].flatMap(({ decision }) =>
      decision.kind === "deadLetter" ? [decision.queue] : [],
    );
    for (const target of new Set(targets)) await audit(this.engine, this.ledger, target);
    await this.#audit(queue, receipt);
    return receipt;
  }

  async extend(queue: QueueId, leases: readonly LeaseId[], endsAt: EpochMs): Promise<{ stale: readonly LeaseId[] }> {
    const receipt = await this.engine.extend(queue, leases, endsAt);
    this.ledger.extended(queue, leases, endsAt, receipt.stale);
    await this.#audit(queue);
    return receipt;
  }

  async expiredLeases(queue: QueueId, limit: number): Promise<readonly ExpiredLease[]> {
    const ended = await this.engine.expiredLeases(queue, limit);
    this.ledger.ended(queue, ended);
    return ended;
  }

  async releaseHolder(holder: Holder, holderIsGone: boolean): Promise<number> {
    const count = await this.engine.releaseHolder(holder);
    this.ledger.released(holder, count, holderIsGone);
    for (const queue of this.ledger.queues.keys()) await this.#audit(queue);
    return count;
  }

  async purge(
    process: SimulatedProcess,
    queue: QueueId,
    token: string | undefined,
  ): Promise<{ purged: number; more: boolean; token: string }> {
    if (token === undefined) {
      this.#purges += 1;
      const newToken = `purge-${this.#purges}`;
      // The queue must exist for a purge to begin.
      const refs = (await contents(this.engine, queue)).map(({ ref }) => ref);
      this.ledger.purgeBegan(queue, newToken);
      this.#extents.set(newToken, refs);
      this.#begun.set(newToken, { queue, process, since: this.ledger.world.mono });
      return await this.#purgeSlice(queue, newToken);
    }
    return await this.#purgeSlice(queue, token);
  }

  /** A server that nothing happened to purges to the end. */
  assertPurged(): void {
    for (const [token, { queue, process, since }] of this.#begun) {
      const left = this.ledger.queues.has(queue) ? (this.#extents.get(token)?.length ?? 0) : 0;
      const done = !this.#slicedPurge || left === 0 || process.troubledSince(since);
      this.ledger.claim(done, "purge", () => `a purge of ${process.name} stopped, with ${left} messages to go`);
    }
  }

  async purgeByRef(
    queue: QueueId,
    refs: readonly MessageRef[],
  ): Promise<{ purged: number; unknown: readonly MessageRef[] }> {
    const receipt = await this.engine.purgeByRef(queue, refs);
    const asked = this.ledger.requests.askedToPurge(queue, refs);
    this.ledger.claim(asked, "purge", () => "messages are purged by ref that nobody named");
    await this.#audit(queue, undefined, { why: "purged", count: receipt.purged, mayTake: () => true });
    this.ledger.claim(
      receipt.purged + receipt.unknown.length === refs.length,
      "purge",
      () => `${refs.length} refs, ${receipt.purged} purged and ${receipt.unknown.length} unknown`,
    );
    return receipt;
  }

  async sweep(
    queue: QueueId,
    storedBefore: EpochMs,
    limit: number,
    askedAt: number,
  ): Promise<{ expired: number; more: boolean; nextStoredAt: EpochMs | undefined }> {
    const swept = await this.engine.sweep(queue, storedBefore, limit);
    const { settings, world } = this.ledger;
    const retentions = settings.queuesSince(queue, askedAt).map(({ retention_s }) => retention_s * 1_000);
    const horizon = epochMs(world.wallSince(askedAt).most - Math.min(...retentions));
    this.ledger.claim(
      storedBefore <= horizon,
      "retention",
      () => `${settings.nameOf(queue)} is swept ${storedBefore - horizon} ms too early`,
    );
    await this.#audit(queue, undefined, {
      why: "expired",
      count: swept.expired,
      mayTake: (message) => message.storedAt < storedBefore && message.lease === undefined,
    });
    return swept;
  }

  async commit(change: CatalogChange): Promise<number> {
    const revision = await this.engine.catalog.commit(change);
    this.ledger.committed(change.expectedRevision, change.operations, revision);
    return revision;
  }

  /** A step that fails leaves everything as it was. */
  async #step<T>(queue: QueueId, work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (error) {
      await this.#audit(queue);
      throw error;
    }
  }

  async #purgeSlice(queue: QueueId, token: string): Promise<{ purged: number; more: boolean; token: string }> {
    const extent = this.ledger.queues.get(queue)?.purges.get(token);
    const mayTake = (message: Parameters<Removal["mayTake"]>[0]): boolean => extent?.has(message) === true;
    if (!this.#slicedPurge) {
      const { purged, more } = await this.engine.purge(queue, undefined);
      await this.#audit(queue, undefined, { why: "purged", count: purged, mayTake });
      const left = this.ledger.queue(queue).messages.size;
      this.ledger.claim(left === 0, "purge", () => `a purge left ${left} messages`);
      return { purged, more, token };
    }
    const left = this.#extents.get(token) ?? [];
    const { purged } = await this.engine.purgeByRef(queue, left.splice(0, purgeSlice));
    await this.#audit(queue, undefined, { why: "purged", count: purged, mayTake });
    return { purged, more: left.length > 0, token };
  }

  async #audit(queue: QueueId, receipt?: Pick<SendReceipt, "backlog" | "readiness">, removal?: Removal): Promise<void> {
    if (!this.ledger.queues.has(queue)) return;
    await audit(this.engine, this.ledger, queue, removal);
    if (receipt === undefined) return;
    const tracked = this.ledger.queue(queue);
    compareReadiness(this.ledger, tracked, receipt.readiness);
    this.ledger.claim(
      receipt.backlog.count === tracked.messages.size,
      "readiness",
      () => `a receipt tells of ${receipt.backlog.count} messages, there are ${tracked.messages.size}`,
    );
  }
}
