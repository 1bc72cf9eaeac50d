// Random histories: commands as data (so that a failing history shrinks), and how each is done to an engine and to the model.

import assert from "node:assert/strict";
import fc from "fast-check";
import { after, decideWindow, epochMs, judgeConservation, makeMessageId, milliseconds } from "../../src/core/index.ts";
import type {
  BatchId,
  CatalogOperation,
  Decision,
  Holder,
  LeaseDecision,
  LeaseId,
  MessageId,
  NewMessage,
  QueueId,
  StorageEngine,
} from "../../src/core/index.ts";
import type { ManualClock, Restart } from "./harness.ts";
import { Model, ModelQueue } from "./model.ts";
import type { ModelMessage } from "./model.ts";

const queueCount = 3;
const queueIndex = fc.nat(queueCount - 1);
const span = fc.constantFrom(0, 1, 1_000, 60_000);
const pick = fc.nat(1_000);
const decisionKind = fc.constantFrom("ack", "ack", "retry", "delayedRetry", "deadLetter", "drop", "release");

const command = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({ kind: fc.constant("send"), queue: queueIndex, delays: fc.array(span, { maxLength: 8 }) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("resend"), queue: queueIndex, pick, extra: fc.nat(2) }) },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant("lease"),
      queue: queueIndex,
      max: fc.integer({ min: 1, max: 10 }),
      visibility: span,
      holder: fc.nat(1),
      window: fc.option(fc.record({ size: fc.integer({ min: 1, max: 5 }), timeout: span }), { nil: undefined }),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("settle"),
      queue: queueIndex,
      each: fc.array(fc.record({ pick, decision: decisionKind }), { maxLength: 6 }),
      whole: fc.option(fc.record({ pick, decision: decisionKind }), { nil: undefined }),
      target: queueIndex,
      delay: span,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant("expire"), queue: queueIndex, limit: fc.integer({ min: 1, max: 5 }) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("extend"),
      queue: queueIndex,
      picks: fc.array(pick, { maxLength: 4 }),
      by: span,
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("releaseHolder"), holder: fc.nat(1) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("purge"), queue: queueIndex }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("purgeByRef"),
      queue: queueIndex,
      picks: fc.array(pick, { maxLength: 4 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("sweep"),
      queue: queueIndex,
      age: span,
      limit: fc.integer({ min: 1, max: 6 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("recreate"), queue: queueIndex }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("advance"), by: span }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant("restart"), how: fc.constantFrom<Restart>("reopen", "crash", "crash") }),
  },
);

type Command = typeof command extends fc.Arbitrary<infer C> ? C : never;

export const histories: fc.Arbitrary<readonly Command[]> = fc.array(command, {
  minLength: 1,
  maxLength: 80,
  size: "max",
});

/** What a history runs on; `restart` does nothing where nothing survives it. */
export interface HistorySubject {
  readonly clock: ManualClock;
  readonly engine: () => StorageEngine;
  readonly restart: (how: Restart) => Promise<void>;
}

/** Does every command to both and compares all there is to see after each. */
export async function follow(subject: HistorySubject, history: readonly Command[]): Promise<void> {
  const run = new HistoryRun(subject);
  await run.start();
  try {
    for (const each of history) {
      await run.step(each);
      await run.compare();
    }
  } finally {
    await run.end();
  }
}

interface KnownLease {
  readonly lease: LeaseId;
  readonly batch: BatchId;
  readonly stored: ModelMessage;
}

let lastId = 0;

class HistoryRun {
  readonly #subject: HistorySubject;
  readonly #model = new Model();
  readonly #queues: QueueId[];
  /** What each queue was sent, for resending. A dead letter leaves: its id may be stored in another queue. */
  readonly #sent = new Map<QueueId, NewMessage[]>();
  /** Every lease there ever was, with the message it was for. */
  readonly #leases: KnownLease[] = [];

  constructor(subject: HistorySubject) {
    this.#subject = subject;
    this.#queues = Array.from({ length: queueCount }, () => (lastId += 1).toString(16).padStart(32, "0") as QueueId);
  }

  get #engine(): StorageEngine {
    return this.#subject.engine();
  }

  async start(): Promise<void> {
    await this.#commit(this.#queues.map((queue) => ({ kind: "createQueue", queue })));
    for (const queue of this.#queues) this.#model.queues.set(queue, new ModelQueue());
  }

  async end(): Promise<void> {
    await this.#commit(this.#queues.map((queue) => ({ kind: "dropQueue", queue })));
  }

  async #commit(operations: readonly CatalogOperation[]): Promise<void> {
    const { revision } = await this.#engine.catalog.load();
    await this.#engine.catalog.commit({ expectedRevision: revision, operations, audit: [] });
  }

  async step(each: Command): Promise<void> {
    const { clock } = this.#subject;
    const now = clock.now();
    switch (each.kind) {
      case "advance":
        clock.advance(each.by);
        return;
      case "restart":
        await this.#subject.restart(each.how);
        return;
      case "send":
        await this.#send(
          this.#id(each.queue),
          each.delays.map((delay) => this.#newMessage(delay)),
        );
        return;
      case "resend":
        await this.#resend(each);
        return;
      case "lease":
        await this.#lease(each);
        return;
      case "settle":
        await this.#settle(each);
        return;
      case "expire":
        await this.#expire(each);
        return;
      case "extend": {
        const leases = [...new Set(each.picks.flatMap((number) => this.#leaseOf(number)?.lease ?? []))];
        const { stale } = await this.#engine.extend(this.#id(each.queue), leases, clock.in(each.by));
        const expected = leases.filter((lease) => {
          const held = this.#held(this.#id(each.queue), lease)?.lease;
          if (held !== undefined) held.endsAt = clock.in(each.by);
          return held === undefined;
        });
        assert.deepEqual(stale, expected);
        return;
      }
      case "releaseHolder": {
        const holder = this.#holder(each.holder);
        const released = await this.#engine.releaseHolder(holder);
        let expected = 0;
        for (const queue of this.#model.queues.values()) {
          for (const stored of queue.messages.filter(({ lease }) => lease?.holder === holder)) {
            release(stored);
            expected += 1;
          }
        }
        assert.equal(released, expected);
        return;
      }
      case "purge": {
        const queue = this.#queue(each.queue);
        let result = await this.#engine.purge(this.#id(each.queue), undefined);
        let { purged } = result;
        while (result.more) {
          result = await this.#engine.purge(this.#id(each.queue), result.token);
          purged += result.purged;
        }
        assert.equal(purged, queue.messages.length);
        for (const stored of queue.messages.slice()) queue.remove(stored, "purged");
        return;
      }
      case "purgeByRef": {
        const queue = this.#queue(each.queue);
        const peeked = await this.#engine.peek(this.#id(each.queue), { max: 100 });
        const chosen = [...new Set(each.picks.flatMap((number) => peeked[number % Math.max(1, peeked.length)] ?? []))];
        const refs = chosen.map(({ ref }) => ref);
        const result = await this.#engine.purgeByRef(this.#id(each.queue), refs);
        assert.deepEqual(result, { purged: refs.length, unknown: [] });
        for (const { id } of chosen) {
          const stored = queue.find(id);
          assert.ok(stored);
          queue.remove(stored, "purged");
        }
        return;
      }
      case "sweep": {
        const queue = this.#queue(each.queue);
        const horizon = epochMs(now - each.age);
        const result = await this.#engine.sweep(this.#id(each.queue), horizon, each.limit);
        const due = queue.messages.filter(({ storedAt, lease }) => lease === undefined && storedAt < horizon);
        assert.equal(result.expired, Math.min(due.length, each.limit));
        assert.equal(result.more, due.length > each.limit);
        // Which ones go first is for the engine to say.
        const left = await this.#ids(this.#id(each.queue));
        for (const stored of due) if (!left.has(stored.message.id)) queue.remove(stored, "expired");
        assert.equal(result.nextStoredAt, queue.messages[0]?.storedAt);
        return;
      }
      case "recreate": {
        const id = this.#id(each.queue);
        await this.#commit([
          { kind: "dropQueue", queue: id },
          { kind: "createQueue", queue: id },
        ]);
        this.#model.queues.set(id, new ModelQueue());
        return;
      }
      default:
        each satisfies never;
    }
  }

  async #send(queue: QueueId, messages: readonly NewMessage[]): Promise<void> {
    await this.#engine.send(queue, messages);
    this.#sent.set(queue, [...(this.#sent.get(queue) ?? []), ...messages]);
    for (const message of messages) this.#model.queue(queue).add(message, this.#subject.clock.now());
  }

  async #resend(each: Extract<Command, { kind: "resend" }>): Promise<void> {
    const id = this.#id(each.queue);
    const sent = this.#sent.get(id) ?? [];
    const from = each.pick % Math.max(1, sent.length);
    const messages = [...sent.slice(from, from + 3), ...Array.from({ length: each.extra }, () => this.#newMessage(0))];
    await this.#engine.send(id, messages, { resend: true });
    const queue = this.#model.queue(id);
    for (const message of messages) {
      if (queue.find(message.id) === undefined) queue.add(message, this.#subject.clock.now());
    }
  }

  async #lease(each: Extract<Command, { kind: "lease" }>): Promise<void> {
    const { clock } = this.#subject;
    const queue = this.#queue(each.queue);
    const now = clock.now();
    const window = each.window && { size: each.window.size, timeout: milliseconds(each.window.timeout) };
    const holder = this.#holder(each.holder);
    const visibility = milliseconds(each.visibility);
    const expected =
      window === undefined || decideWindow(queue.readiness(now), window, now).kind === "deliver"
        ? Math.min(each.max, queue.ready(now).length)
        : 0;
    const durable = each.holder === 0;
    const request = { max: each.max, window, visibility, holder, durable };
    const leased = await this.#engine.lease(this.#id(each.queue), request);
    assert.equal(leased.messages.length, expected);
    assert.equal(leased.batch === undefined, expected === 0);
    const { batch } = leased;
    if (batch === undefined) return;
    let longestWait = 0;
    for (const { id, attempts, lease, body } of leased.messages) {
      const stored = queue.find(id);
      assert.ok(
        stored !== undefined && stored.lease === undefined && stored.readyAt <= now,
        "only what is ready is leased",
      );
      assert.deepEqual(Buffer.from(body), Buffer.from(stored.message.body));
      stored.attempts += 1;
      assert.equal(attempts, stored.attempts);
      stored.lease = { batch, endsAt: after(now, visibility), holder };
      this.#leases.push({ lease, batch, stored });
      longestWait = Math.max(longestWait, stored.readyAt);
    }
    const next = queue.readiness(now).readySince;
    assert.ok(next === undefined || next >= longestWait, "the longest ready go first");
  }

  async #settle(each: Extract<Command, { kind: "settle" }>): Promise<void> {
    const id = this.#id(each.queue);
    const decisions: LeaseDecision[] = each.each.flatMap((one) => {
      const named = this.#leaseOf(one.pick);
      return named === undefined ? [] : [{ lease: named.lease, decision: this.#decision(one.decision, each) }];
    });
    const batch = each.whole === undefined ? undefined : this.#leaseOf(each.whole.pick)?.batch;
    const whole =
      each.whole === undefined || batch === undefined
        ? []
        : [{ batch, decision: this.#decision(each.whole.decision, each) }];
    const receipt = await this.#engine.settle(id, { each: decisions, whole });

    const queue = this.#queue(each.queue);
    let done = 0;
    const late: LeaseId[] = [];
    const stale: LeaseId[] = [];
    for (const { lease, decision } of decisions) {
      const stored = this.#leases.find((one) => one.lease === lease)?.stored;
      const isCurrent = this.#held(id, lease) !== undefined;
      const isStored = stored !== undefined && queue.messages.includes(stored);
      if (!isStored || (!isCurrent && decision.kind !== "ack")) {
        stale.push(lease);
        continue;
      }
      if (!isCurrent) late.push(lease);
      this.#apply(queue, stored, decision);
      done += 1;
    }
    for (const one of whole) {
      // In the order of delivery, which dead letters keep.
      for (const { lease, stored } of this.#leases.filter((known) => known.batch === one.batch)) {
        if (this.#held(id, lease) === undefined) continue;
        this.#apply(queue, stored, one.decision);
        done += 1;
      }
    }
    assert.deepEqual({ done: receipt.done, late: receipt.late, stale: receipt.stale }, { done, late, stale });
  }

  async #expire(each: Extract<Command, { kind: "expire" }>): Promise<void> {
    const id = this.#id(each.queue);
    const queue = this.#queue(each.queue);
    const now = this.#subject.clock.now();
    const ended = await this.#engine.expiredLeases(id, each.limit);
    const expected = queue.messages.filter(({ lease }) => lease !== undefined && lease.endsAt <= now);
    assert.equal(ended.length, Math.min(each.limit, expected.length));
    const decision: Decision = { kind: "retry", visibleAt: undefined };
    const receipt = await this.#engine.settle(id, { each: ended.map(({ lease }) => ({ lease, decision })), whole: [] });
    assert.equal(receipt.done, ended.length);
    for (const { lease, id: message, attempts } of ended) {
      const stored = this.#held(id, lease);
      assert.ok(stored !== undefined && stored.message.id === message && stored.attempts === attempts);
      assert.ok((stored.lease?.endsAt ?? Number.POSITIVE_INFINITY) <= now);
      this.#apply(queue, stored, decision);
    }
  }

  #apply(queue: ModelQueue, stored: ModelMessage, decision: Decision): void {
    const now = this.#subject.clock.now();
    switch (decision.kind) {
      case "ack":
        queue.remove(stored, "acked");
        return;
      case "drop":
        queue.remove(stored, "dropped");
        return;
      case "retry":
        stored.lease = undefined;
        stored.readyAt = epochMs(Math.max(now, decision.visibleAt ?? 0));
        return;
      case "release":
        release(stored);
        return;
      case "deadLetter":
        queue.remove(stored, "deadLettered");
        for (const [from, sent] of this.#sent) {
          this.#sent.set(
            from,
            sent.filter((message) => message.id !== stored.message.id),
          );
        }
        this.#model.queue(decision.queue).add({ ...stored.message, visibleAt: undefined }, now);
        return;
      default:
        decision satisfies never;
    }
  }

  /** Compares everything an engine tells with the model. */
  async compare(): Promise<void> {
    const now = this.#subject.clock.now();
    for (const [id, queue] of this.#model.queues) {
      const { backlog, readiness, accounting } = await this.#engine.metrics(id);
      assert.deepEqual(readiness, queue.readiness(now));
      assert.deepEqual([backlog.count, backlog.bytes], [queue.messages.length, queue.bytes]);
      assert.deepEqual(accounting, queue.counters);
      assert.equal(backlog.oldestSentAt, queue.messages[0]?.message.sentAt);
      const recount = await this.#engine.verify(id);
      assert.deepEqual(recount?.stored, { count: queue.messages.length, bytes: queue.bytes });
      assert.deepEqual(judgeConservation(recount), []);
      const peeked = await this.#engine.peek(id, { max: 100 });
      assert.deepEqual(
        peeked.map(({ id: message, attempts, state, until }) => ({ message, attempts, state, until })),
        queue.messages.slice(0, 100).map(({ message, attempts, readyAt, lease }) => ({
          message: message.id,
          attempts,
          state: lease !== undefined ? "leased" : readyAt <= now ? "ready" : "delayed",
          until: lease !== undefined ? lease.endsAt : readyAt <= now ? undefined : readyAt,
        })),
      );
    }
  }

  #newMessage(delay: number): NewMessage {
    const { clock } = this.#subject;
    lastId += 1;
    const random = new Uint8Array(10);
    new DataView(random.buffer).setUint32(6, lastId);
    return {
      id: makeMessageId(clock.now(), random),
      sentAt: clock.now(),
      contentType: "bytes",
      body: new Uint8Array(lastId % 7).fill(lastId),
      visibleAt: delay === 0 ? undefined : clock.in(delay),
    };
  }

  #decision(kind: string, { target, delay }: { readonly target: number; readonly delay: number }): Decision {
    switch (kind) {
      case "retry":
        return { kind, visibleAt: undefined };
      case "delayedRetry":
        return { kind: "retry", visibleAt: this.#subject.clock.in(delay) };
      case "deadLetter":
        return { kind, queue: this.#id(target) };
      default:
        return { kind: kind as "ack" | "drop" | "release" };
    }
  }

  #leaseOf(number: number): KnownLease | undefined {
    // Mostly recent ones, which still mean something.
    return this.#leases.at(-1 - (number % Math.max(1, this.#leases.length)));
  }

  /** The message a lease still holds. */
  #held(id: QueueId, lease: LeaseId): ModelMessage | undefined {
    const named = this.#leases.find((one) => one.lease === lease);
    if (named === undefined || named.stored.lease?.batch !== named.batch) return undefined;
    return this.#model.queue(id).messages.includes(named.stored) ? named.stored : undefined;
  }

  async #ids(id: QueueId): Promise<Set<MessageId>> {
    const ids = new Set<MessageId>();
    let page = await this.#engine.peek(id, { max: 100 });
    while (page.length > 0) {
      for (const message of page) ids.add(message.id);
      page = await this.#engine.peek(id, { max: 100, after: page.at(-1)?.ref });
    }
    return ids;
  }

  #id(index: number): QueueId {
    const id = this.#queues[index];
    assert.ok(id);
    return id;
  }

  #queue(index: number): ModelQueue {
    return this.#model.queue(this.#id(index));
  }

  #holder(index: number): Holder {
    // Of this history alone: one that failed, and is being shrunk, leaves its leases behind.
    return `server:${index}:${this.#queues[0]}` as Holder;
  }
}

function release(stored: ModelMessage): void {
  stored.lease = undefined;
  stored.attempts -= 1;
  stored.readyAt = stored.storedAt;
}
