// Applies decisions to leased messages: all of a request's in one transaction, over two queues where dead letters move.

import { epochMs } from "../../../core/index.ts";
import type { Decision, EpochMs, LeaseId, QueueId } from "../../../core/index.ts";
import { parseBatchId, parseLeaseId } from "../lease-id.ts";
import { withItems } from "../lease-book.ts";
import type { LeasedBatchEntry, LeasedItem } from "../lease-book.ts";
import type { Ledger } from "../ledger.ts";
import type { Results, SettleMessage } from "../protocol.ts";
import type { QueueState } from "../queue-state.ts";
import { readHeader, restamped } from "../record.ts";

export interface SettleOutcome {
  readonly result: Results["settle"];
  /** Queues that may have something to lease now. */
  readonly woken: ReadonlySet<QueueState>;
}

const ack: Decision = { kind: "ack" };

/** Throws `QUEUE_NOT_FOUND`, for the queue or a dead letter's target, before anything happens. */
export function settle(ledger: Ledger, request: SettleMessage): SettleOutcome {
  const queue = ledger.queue(request.queue);
  const settlement = new Settlement(ledger, queue, targetsOf(ledger, request), request.now);
  if (request.acks !== "") for (const lease of request.acks.split(" ")) settlement.one(lease as LeaseId, ack);
  for (const { lease, decision } of request.each) settlement.one(lease, decision);
  settlement.closeOpenBatches();
  for (const { batch, decision } of request.whole) settlement.whole(parseBatchId(batch), decision);
  return { result: settlement, woken: settlement.woken };
}

function targetsOf(ledger: Ledger, request: SettleMessage): ReadonlyMap<QueueId, QueueState> {
  const targets = new Map<QueueId, QueueState>();
  for (const { decision } of request.each)
    if (decision.kind === "deadLetter") targets.set(decision.queue, ledger.queue(decision.queue));
  for (const { decision } of request.whole)
    if (decision.kind === "deadLetter") targets.set(decision.queue, ledger.queue(decision.queue));
  return targets;
}

class Settlement {
  done = 0;
  readonly late: LeaseId[] = [];
  readonly stale: LeaseId[] = [];
  readonly woken = new Set<QueueState>();
  readonly #ledger: Ledger;
  readonly #queue: QueueState;
  readonly #targets: ReadonlyMap<QueueId, QueueState>;
  readonly #now: EpochMs;
  /** Batches settled in parts: what is still leased, by position. Written back once, not for each message. */
  readonly #open = new Map<number, Map<number, LeasedItem>>();

  constructor(ledger: Ledger, queue: QueueState, targets: ReadonlyMap<QueueId, QueueState>, now: EpochMs) {
    this.#ledger = ledger;
    this.#queue = queue;
    this.#targets = targets;
    this.#now = now;
  }

  one(lease: LeaseId, decision: Decision): void {
    const named = parseLeaseId(lease);
    const items = named === undefined ? undefined : this.#opened(named.batch);
    const item = named === undefined ? undefined : items?.get(named.position);
    if (named !== undefined && item !== undefined) {
      items?.delete(named.position);
      this.#apply(item, decision);
      this.done += 1;
    } else if (named !== undefined && decision.kind === "ack" && this.#ackLate(named.position)) {
      this.late.push(lease);
      this.done += 1;
    } else {
      this.stale.push(lease);
    }
  }

  whole(batch: number | undefined, decision: Decision): void {
    const entry = batch === undefined ? undefined : this.#queue.leases.get(batch);
    if (entry === undefined) return;
    this.#ledger.endLease(this.#queue, entry.batch, []);
    for (const item of entry.items) this.#apply(item, decision);
    this.done += entry.items.length;
  }

  closeOpenBatches(): void {
    for (const [batch, items] of this.#open) this.#ledger.endLease(this.#queue, batch, [...items.values()]);
    this.#open.clear();
  }

  /** The lease had ended. The ack counts while the message waits to be delivered again, or is with somebody else. */
  #ackLate(position: number): boolean {
    const waiting = this.#queue.later.find(position);
    if (waiting !== undefined) {
      this.#queue.later.remove(waiting);
      this.#ledger.remove(this.#queue, "acked", { position, size: this.#ledger.tables.log.size(position) });
      return true;
    }
    const holding = this.#queue.leases.batchOfRedelivered(position);
    const items = holding === undefined ? undefined : this.#opened(holding.batch);
    const item = items?.get(position);
    if (item === undefined) return false;
    items?.delete(position);
    this.#ledger.remove(this.#queue, "acked", item);
    return true;
  }

  #opened(batch: number): Map<number, LeasedItem> | undefined {
    const open = this.#open.get(batch);
    if (open !== undefined) return open;
    const entry: LeasedBatchEntry | undefined = this.#queue.leases.get(batch);
    if (entry === undefined) return undefined;
    const items = new Map(entry.items.map((item) => [item.position, item]));
    this.#open.set(batch, items);
    return items;
  }

  /** Decides about a message that is leased no more. */
  #apply(item: LeasedItem, decision: Decision): void {
    const { position, attempts } = item;
    switch (decision.kind) {
      case "ack":
        this.#ledger.remove(this.#queue, "acked", item);
        return;
      case "drop":
        this.#ledger.remove(this.#queue, "dropped", item);
        return;
      case "retry": {
        const dueAt = epochMs(Math.ceil(Math.max(decision.visibleAt ?? 0, this.#now)));
        this.#queue.later.insert({ position, dueAt, attempts });
        this.woken.add(this.#queue);
        return;
      }
      case "release":
        giveBack(this.#ledger, this.#queue, item);
        this.woken.add(this.#queue);
        return;
      case "deadLetter":
        this.#move(item, decision.queue);
        return;
      default:
        decision satisfies never;
    }
  }

  #move(item: LeasedItem, to: QueueId): void {
    const target = this.#targets.get(to);
    if (target === undefined) throw new Error(`target ${to} was not looked up`);
    const [stored] = this.#ledger.tables.log.readRange(item.position, 1) ?? [];
    if (stored === undefined) {
      this.#ledger.setAside(this.#queue, item.position, item.attempts);
      return;
    }
    const record = restamped(stored, this.#now);
    this.#ledger.remove(this.#queue, "deadLettered", item);
    const position = this.#ledger.append(target, record, 0, record.length);
    target.countIn(1, item.size);
    this.#ledger.appendFresh(target, { first: position, count: 1, storedAt: this.#now });
    this.woken.add(target);
  }
}

/** The delivery did not happen: ready at its old place, since it has been waiting since it came in. */
function giveBack(ledger: Ledger, queue: QueueState, { position, attempts }: LeasedItem): void {
  const header = ledger.tables.log.header(position);
  if (header === undefined) {
    ledger.setAside(queue, position, attempts - 1);
    return;
  }
  queue.later.insert({ position, dueAt: readHeader(header).storedAt, attempts: attempts - 1 });
  ledger.change(queue);
}

/** Gives back everything a holder has, in all queues, without counting the attempt. Answers how many messages. */
export function releaseHolder(
  ledger: Ledger,
  holder: string,
): { readonly released: number; readonly woken: ReadonlySet<QueueState> } {
  let released = 0;
  const woken = new Set<QueueState>();
  for (const queue of ledger.queues()) {
    for (const entry of queue.leases.batches()) {
      if (entry.holder !== holder) continue;
      ledger.endLease(queue, entry.batch, []);
      for (const item of entry.items) giveBack(ledger, queue, item);
      released += entry.items.length;
      woken.add(queue);
    }
  }
  return { released, woken };
}

/** Moves the end of single leases; answers those that are held no more. */
export function extend(queue: QueueState, ledger: Ledger, leases: readonly LeaseId[], endsAt: EpochMs): LeaseId[] {
  const stale: LeaseId[] = [];
  const extended = new Map<number, Set<number>>();
  for (const lease of leases) {
    const named = parseLeaseId(lease);
    const entry = named === undefined ? undefined : queue.leases.get(named.batch);
    if (named === undefined || entry?.items.some(({ position }) => position === named.position) !== true) {
      stale.push(lease);
      continue;
    }
    const positions = extended.get(named.batch) ?? new Set();
    extended.set(named.batch, positions.add(named.position));
  }
  for (const [batch, positions] of extended) {
    const entry = queue.leases.get(batch);
    if (entry === undefined) continue;
    const items = entry.items.map((item) =>
      positions.has(item.position) ? Object.assign({}, item, { endsAt }) : item,
    );
    ledger.putLease(queue, withItems(entry, items));
  }
  return stale;
}
