// An engine under test: opened fresh for each test, with a clock the test moves, and the accounting law checked after every step.

import assert from "node:assert/strict";
import { after, epochMs, judgeConservation, makeMessageId, milliseconds, minutes } from "../../src/core/index.ts";
import type {
  Accounting,
  Backlog,
  BatchId,
  Clock,
  Decision,
  EpochMs,
  Holder,
  LeasedBatch,
  LeasedMessage,
  LeaseRequest,
  NewMessage,
  QueueId,
  Recount,
  SendReceipt,
  SettleReceipt,
  StorageEngine,
} from "../../src/core/index.ts";

/** How the conformance suite gets an engine. */
export interface EngineUnderTest {
  readonly name: string;
  readonly durable: boolean;
  /** Opens empty storage. */
  create(clock: Clock): Promise<OpenedEngine>;
}

export interface OpenedEngine {
  readonly engine: StorageEngine;
  /** Closes the engine and opens the same storage again. Only called when `durable`. */
  reopen(): Promise<OpenedEngine>;
  /** The same, but what is opened is what a kill of the process would have left. Only called when `durable`. */
  crash(): Promise<OpenedEngine>;
  /** Deletes the storage. `engine` is closed by then. */
  destroy(): Promise<void>;
}

/** How an engine ends before its storage is opened again. */
export type Restart = "reopen" | "crash";

/** What an engine that is not durable says to that. */
export const notDurable: Pick<OpenedEngine, Restart> = {
  reopen: async () => await Promise.reject(new Error("not durable")),
  crash: async () => await Promise.reject(new Error("not durable")),
};

/** Time moves only when the test says so. */
export class ManualClock implements Clock {
  #now = epochMs(1_800_000_000_000);

  now(): EpochMs {
    return this.#now;
  }

  advance(ms: number): void {
    this.#now = after(this.#now, milliseconds(ms));
  }

  /** The point in time `ms` from now. */
  in(ms: number): EpochMs {
    return after(this.#now, milliseconds(ms));
  }
}

export const holderA = "server:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" as Holder;
export const holderB = "server:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb" as Holder;

type MessageSketch = string | (Partial<Omit<NewMessage, "body">> & { readonly body: string | Uint8Array });

export class Harness implements AsyncDisposable {
  readonly clock: ManualClock;
  #opened: OpenedEngine;
  readonly #queues: QueueId[] = [];
  #ids = 0;
  #revision = 0;

  private constructor(clock: ManualClock, opened: OpenedEngine) {
    this.clock = clock;
    this.#opened = opened;
  }

  static async open(underTest: EngineUnderTest): Promise<Harness> {
    const clock = new ManualClock();
    return new Harness(clock, await underTest.create(clock));
  }

  /** The engine as it is; the shortcuts below check the accounting law as well. */
  get engine(): StorageEngine {
    return this.#opened.engine;
  }

  /** Ends the engine, the one way or the other, and opens its storage again. */
  async restart(how: Restart): Promise<void> {
    this.#opened = await this.#opened[how]();
  }

  /** Makes a queue. */
  async queue(): Promise<QueueId> {
    const queue = this.queueId();
    await this.commit([{ kind: "createQueue", queue }]);
    this.#queues.push(queue);
    return queue;
  }

  /** An id that no queue has. */
  queueId(): QueueId {
    this.#ids += 1;
    return this.#ids.toString(16).padStart(32, "0") as QueueId;
  }

  async dropQueue(queue: QueueId): Promise<void> {
    await this.commit([{ kind: "dropQueue", queue }]);
    this.#queues.splice(this.#queues.indexOf(queue), 1);
  }

  async commit(operations: Parameters<StorageEngine["catalog"]["commit"]>[0]["operations"]): Promise<void> {
    this.#revision = await this.engine.catalog.commit({ expectedRevision: this.#revision, operations, audit: [] });
  }

  message(sketch: MessageSketch): NewMessage {
    const fields = typeof sketch === "string" ? { body: sketch } : sketch;
    this.#ids += 1;
    const random = new Uint8Array(10);
    new DataView(random.buffer).setUint32(6, this.#ids);
    return {
      id: makeMessageId(this.clock.now(), random),
      sentAt: this.clock.now(),
      contentType: "text",
      visibleAt: undefined,
      ...fields,
      body: typeof fields.body === "string" ? new TextEncoder().encode(fields.body) : fields.body,
    };
  }

  async send(queue: QueueId, ...sketches: readonly MessageSketch[]): Promise<SendReceipt> {
    return await this.checked(
      this.engine.send(
        queue,
        sketches.map((sketch) => this.message(sketch)),
      ),
    );
  }

  /** Leases with a lease of a minute unless told otherwise. */
  async lease(queue: QueueId, max: number, request: Partial<LeaseRequest> = {}): Promise<LeasedBatch> {
    return await this.checked(
      this.engine.lease(queue, { max, window: undefined, visibility: minutes(1), holder: holderA, ...request }),
    );
  }

  /** Leases exactly one message. */
  async leaseOne(queue: QueueId, request: Partial<LeaseRequest> = {}): Promise<LeasedMessage> {
    const { messages } = await this.lease(queue, 1, request);
    assert.equal(messages.length, 1, "one message is ready");
    return first(messages);
  }

  /** Decides for single messages. */
  async settle(
    queue: QueueId,
    ...each: readonly (readonly [message: Pick<LeasedMessage, "lease">, decision: Decision | Decision["kind"]])[]
  ): Promise<SettleReceipt> {
    return await this.checked(
      this.engine.settle(queue, {
        each: each.map(([{ lease }, decision]) => ({ lease, decision: decisionOf(decision) })),
        whole: [],
      }),
    );
  }

  /** Decides for what is left of a batch. */
  async settleWhole(
    queue: QueueId,
    batch: BatchId | undefined,
    decision: Decision | Decision["kind"],
  ): Promise<SettleReceipt> {
    assert.ok(batch !== undefined);
    return await this.checked(
      this.engine.settle(queue, { each: [], whole: [{ batch, decision: decisionOf(decision) }] }),
    );
  }

  async backlog(queue: QueueId): Promise<Backlog> {
    return (await this.engine.metrics(queue)).backlog;
  }

  /** A recount that finds nothing wrong. */
  async recount(queue: QueueId): Promise<Recount> {
    const recount = await this.engine.verify(queue);
    assert.ok(recount !== undefined);
    assert.deepEqual(judgeConservation(recount), []);
    return recount;
  }

  async accounting(queue: QueueId): Promise<Accounting> {
    return (await this.engine.metrics(queue)).accounting;
  }

  /** Bodies of everything stored, oldest first. */
  async stored(queue: QueueId): Promise<string[]> {
    const bodies: string[] = [];
    let page = await this.engine.peek(queue, { max: 100 });
    while (page.length > 0) {
      bodies.push(...bodiesOf(page));
      page = await this.engine.peek(queue, { max: 100, after: page.at(-1)?.ref });
    }
    return bodies;
  }

  /** Waits for a step and checks the law. */
  async checked<T>(step: Promise<T>): Promise<T> {
    const result = await step;
    await this.checkLaw();
    return result;
  }

  /** `accepted = backlog + acked + deadLettered + expired + purged + dropped`, for every queue. */
  async checkLaw(): Promise<void> {
    for (const queue of this.#queues) {
      const { accounting, backlog, held } = await this.engine.metrics(queue);
      const { accepted, acked, deadLettered, expired, purged, dropped } = accounting;
      assert.equal(accepted, backlog.count + acked + deadLettered + expired + purged + dropped, "the accounting law");
      assert.equal(held, backlog.count, "every message waits in one place");
      assert.equal(backlog.oldestSentAt === undefined, backlog.count === 0);
      assert.ok(backlog.bytes >= 0);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.engine[Symbol.asyncDispose]();
    await this.#opened.destroy();
  }
}

function decisionOf(decision: Decision | Decision["kind"]): Decision {
  if (typeof decision !== "string") return decision;
  if (decision === "retry") return { kind: "retry", visibleAt: undefined };
  assert.ok(decision !== "deadLetter", "a dead letter needs a target");
  return { kind: decision };
}

export function bodiesOf(messages: readonly { readonly body: Uint8Array }[]): string[] {
  return messages.map(({ body }) => new TextDecoder().decode(body));
}

export function first<T>(items: readonly T[]): T {
  return at(items, 0);
}

export function at<T>(items: readonly T[], index: number): T {
  const item = items[index];
  assert.ok(item !== undefined, `there is an item number ${index}`);
  return item;
}

/** `count` different texts. */
export function texts(count: number, prefix = "m"): string[] {
  return Array.from({ length: count }, (_, index) => `${prefix}${index}`);
}
