// A scripted history of a store: everything that a server does to one, in an order that never changes. Each step is done to the
// store under test and to the memory engine, which says what must have come of it.

import { createHash } from "node:crypto";
import { makeMessageId, milliseconds, minutes } from "../../src/core/index.ts";
import type {
  BatchId,
  CatalogOperation,
  Decision,
  Holder,
  LeaseId,
  MessageId,
  NewMessage,
  QueueId,
  StorageEngine,
} from "../../src/core/index.ts";
import type { ManualClock } from "../engines/harness.ts";

const queueId = (number: number): QueueId => number.toString(16).padStart(32, "0") as QueueId;

export const orders = queueId(1);
const letters = queueId(2);
const mail = queueId(3);
/** Comes late and goes early. */
const brief = queueId(4);
const queues = [orders, letters, mail, brief];

const holders = ["server:a" as Holder, "server:b" as Holder] as const;
const noHolder = "server:nobody" as Holder;

/** What one of the two engines has been told and has answered. */
export interface Side {
  engine: StorageEngine;
  /** Leases in hand, by message. */
  readonly hand: Map<MessageId, { readonly lease: LeaseId; readonly batch: BatchId; readonly queue: QueueId }>;
}

export interface Scene {
  readonly clock: ManualClock;
  /** What only a real store has: work of its thread while it is idle, and an end. */
  readonly upkeep: (side: Side, work: Upkeep) => Promise<void>;
}

export type Upkeep = "tidyUp" | "reopen";

export interface Step {
  readonly name: string;
  /** Time that passes before it. */
  readonly afterMs?: number;
  /** Does it to one side; answers what both must answer. `args`: what `prepare` said. */
  readonly run: (side: Side, scene: Scene, held: readonly MessageId[]) => Promise<unknown>;
  /** Whose messages in hand it is about. */
  readonly about?: QueueId;
  /** Of what is answered before it is on disk: a machine that fails may forget it. */
  readonly isSoonOnDisk?: boolean;
}

let ids = 0;

/** Messages numbered over all histories; their bodies tell them apart. */
function newMessages(clock: ManualClock, sizes: readonly number[], delayMs = 0): NewMessage[] {
  return sizes.map((size) => {
    ids += 1;
    const random = new Uint8Array(10);
    new DataView(random.buffer).setUint32(6, ids);
    return {
      id: makeMessageId(clock.now(), random),
      sentAt: clock.now(),
      contentType: "bytes",
      body: new Uint8Array(size).fill(ids % 251),
      visibleAt: delayMs === 0 ? undefined : clock.in(delayMs),
      source: size === 1 ? "dash" : undefined,
    };
  });
}

function send(queue: QueueId, sizes: readonly number[], delayMs = 0): Step {
  // Made once, so that both sides are sent the same.
  let made: { readonly at: number; readonly messages: NewMessage[] } | undefined;
  return {
    name: `send ${sizes.length} messages${delayMs > 0 ? ", delayed," : ""} to ${short(queue)}`,
    run: async ({ engine }, { clock }) => {
      if (made?.at !== clock.now()) made = { at: clock.now(), messages: newMessages(clock, sizes, delayMs) };
      const { backlog } = await engine.send(queue, made.messages);
      return { count: backlog.count, bytes: backlog.bytes };
    },
    afterMs: 1,
  };
}

/** As a client does that does not know whether its send was stored. */
function sendTwice(queue: QueueId, sizes: readonly number[]): readonly Step[] {
  const first = send(queue, sizes);
  let last: NewMessage[] = [];
  return [
    {
      name: `send ${sizes.length} messages to ${short(queue)} for the first time`,
      afterMs: 1,
      run: async (side, scene) => {
        if (last[0]?.sentAt !== scene.clock.now()) last = newMessages(scene.clock, sizes);
        const { backlog } = await side.engine.send(queue, last);
        return backlog.count;
      },
    },
    {
      name: `send the same to ${short(queue)} again`,
      run: async (side) => (await side.engine.send(queue, last, { resend: true })).backlog.count,
    },
    first,
  ];
}

interface Haste {
  readonly durable: boolean;
  readonly isSoonOnDisk: boolean;
}

const noHaste: Haste = { durable: true, isSoonOnDisk: false };

function lease(
  queue: QueueId,
  max: number,
  holder: Holder = holders[0],
  forMs = 60_000,
  { durable, isSoonOnDisk } = noHaste,
): Step {
  return {
    name: `lease up to ${max} of ${short(queue)}`,
    afterMs: 1,
    isSoonOnDisk,
    run: async ({ engine, hand }) => {
      const visibility = milliseconds(forMs);
      const { batch, messages } = await engine.lease(queue, { max, window: undefined, visibility, holder, durable });
      if (batch !== undefined) for (const { id, lease: name } of messages) hand.set(id, { lease: name, batch, queue });
      return messages.map(({ id, attempts, body, source }) => ({ id, attempts, body: digest(body), source }));
    },
  };
}

/** Decides for what is in hand, in turns. */
function settle(queue: QueueId, decisions: readonly Decision[], { durable, isSoonOnDisk } = noHaste): Step {
  return {
    name: `settle ${short(queue)}: ${decisions.map(({ kind }) => kind).join(", ")} in turns`,
    about: queue,
    afterMs: 1,
    isSoonOnDisk,
    run: async ({ engine, hand }, _scene, held) => {
      const each = held.flatMap((id, index) => {
        const name = hand.get(id)?.lease;
        const decision = decisions[index % decisions.length];
        return name === undefined || decision === undefined ? [] : [{ lease: name, decision }];
      });
      const { done, late, stale } = await engine.settle(queue, { each, whole: [], durable });
      for (const id of held) hand.delete(id);
      return { done, late: late.length, stale: stale.length };
    },
  };
}

/** As the server does that delivers to a Worker. */
function deliver(queue: QueueId, max: number, ...decisions: readonly Decision[]): readonly Step[] {
  const soon = { durable: false, isSoonOnDisk: true } as const;
  return [lease(queue, max, holders[0], 60_000, soon), settle(queue, decisions, soon)];
}

function settleWhole(queue: QueueId, decision: Decision): Step {
  return {
    name: `settle ${short(queue)}: ${decision.kind} whole batches`,
    about: queue,
    afterMs: 1,
    run: async ({ engine, hand }, _scene, held) => {
      const batches = new Set(held.flatMap((id) => hand.get(id)?.batch ?? []));
      const { done } = await engine.settle(queue, {
        each: [],
        whole: Array.from(batches, (batch) => ({ batch, decision })),
      });
      for (const id of held) hand.delete(id);
      return done;
    },
  };
}

/** As the broker does with leases that have ended: the attempt counts. */
function expire(queue: QueueId): Step {
  return {
    name: `take back the ended leases of ${short(queue)}`,
    afterMs: 120_000,
    run: async ({ engine, hand }) => {
      const ended = await engine.expiredLeases(queue, 100);
      const each = ended.map(({ lease: name }) => ({
        lease: name,
        decision: { kind: "retry", visibleAt: undefined } as const,
      }));
      const { done } = await engine.settle(queue, { each, whole: [] });
      for (const { id } of ended) hand.delete(id);
      return { done, ids: ended.map(({ id }) => id).toSorted() };
    },
  };
}

function extend(queue: QueueId): Step {
  return {
    name: `extend the leases of ${short(queue)}`,
    about: queue,
    run: async ({ engine, hand }, { clock }, held) => {
      const leases = held.flatMap((id) => hand.get(id)?.lease ?? []);
      return (await engine.extend(queue, leases, clock.in(minutes(10)))).stale.length;
    },
  };
}

function release(holder: Holder): Step {
  return {
    name: `release what ${holder} holds`,
    run: async ({ engine }) => await engine.releaseHolder(holder),
  };
}

function purge(queue: QueueId): Step {
  return {
    name: `purge ${short(queue)}`,
    run: async ({ engine }) => {
      let result = await engine.purge(queue, undefined);
      let { purged } = result;
      while (result.more) {
        result = await engine.purge(queue, result.token);
        purged += result.purged;
      }
      return purged;
    },
  };
}

function purgeOne(queue: QueueId, index: number): Step {
  return {
    name: `purge one message of ${short(queue)} by ref`,
    run: async ({ engine }) => {
      const page = await engine.peek(queue, { max: 100 });
      const chosen = page[index % Math.max(1, page.length)];
      return (await engine.purgeByRef(queue, chosen === undefined ? [] : [chosen.ref])).purged;
    },
  };
}

function sweep(queue: QueueId, olderThanMs: number, limit: number): Step {
  return {
    name: `sweep ${short(queue)}`,
    run: async ({ engine }, { clock }) => {
      const { expired, more } = await engine.sweep(queue, clock.in(-olderThanMs), limit);
      return { expired, more };
    },
  };
}

function commit(name: string, ...operations: readonly CatalogOperation[]): Step {
  return {
    name,
    run: async ({ engine }, { clock }) => {
      const { revision } = await engine.catalog.load();
      const audit = [{ at: clock.now(), action: "Test", actor: "history", resource: name, details: { revision } }];
      return await engine.catalog.commit({ expectedRevision: revision, operations, audit });
    },
  };
}

const put = (key: string, value: string): CatalogOperation => ({
  kind: "put",
  record: { kind: "queue", key, value: { name: value } },
});

function blob(key: string, size: number): Step {
  return {
    name: `store the blob ${key}`,
    run: async ({ engine }) => await engine.catalog.putBlob(key, new Uint8Array(size).fill(key.length)),
  };
}

const keepBlobs = (...keys: readonly string[]): Step => ({
  name: "delete the blobs that nobody needs",
  run: async ({ engine }) => await engine.catalog.keepBlobs(new Set(keys)),
});

const upkeep = (work: Upkeep): Step => ({
  name: { tidyUp: "tidy up", reopen: "close and open again" }[work],
  isSoonOnDisk: work === "tidyUp",
  run: async (side, scene) => await scene.upkeep(side, work),
});

/** A history; made anew for each run, since its messages are. */
export function history(): readonly Step[] {
  const retryLater: Decision = { kind: "retry", visibleAt: undefined };
  const deadLetter: Decision = { kind: "deadLetter", queue: letters };
  return [
    commit(
      "make three queues",
      ...[orders, letters, mail].flatMap((queue): readonly CatalogOperation[] => [
        { kind: "createQueue", queue },
        put(queue, short(queue)),
      ]),
    ),
    send(orders, [10, 200, 1]),
    send(mail, [100, 100, 100, 9_000], 30_000),
    ...sendTwice(orders, [50, 60]),
    lease(orders, 4),
    settle(orders, [{ kind: "ack" }, retryLater, deadLetter]),
    send(orders, [20_000]),
    lease(orders, 10, holders[1]),
    upkeep("tidyUp"),
    settleWhole(orders, { kind: "ack" }),
    lease(letters, 5),
    settle(letters, [{ kind: "release" }, { kind: "drop" }]),
    send(mail, Array<number>(12).fill(700)),
    lease(mail, 5, holders[0], 30_000),
    extend(mail),
    ...deliver(orders, 2, { kind: "ack" }, retryLater),
    ...deliver(mail, 3, { kind: "drop" }, { kind: "ack" }),
    upkeep("tidyUp"),
    lease(mail, 3, holders[1], 30_000),
    purgeOne(mail, 9),
    expire(mail),
    commit("make a queue", { kind: "createQueue", queue: brief }, put(brief, "brief")),
    send(brief, [30, 30, 5_000]),
    lease(brief, 2),
    settle(brief, [deadLetter]),
    blob("module one", 6_000),
    blob("module two", 300),
    release(holders[0]),
    upkeep("reopen"),
    commit(
      "drop a queue",
      { kind: "dropQueue", queue: brief },
      { kind: "delete", record: { kind: "queue", key: brief } },
    ),
    upkeep("tidyUp"),
    keepBlobs("module one"),
    lease(mail, 2),
    purge(mail),
    send(mail, [40, 40]),
    sweep(letters, 1_000, 2),
    upkeep("tidyUp"),
    lease(mail, 2, noHolder),
    release(noHolder),
    lease(mail, 1, holders[1]),
    upkeep("reopen"),
    settle(mail, [{ kind: "ack" }]),
    upkeep("tidyUp"),
  ];
}

/** All there is to see of a store. */
export type Seen = Readonly<Record<string, unknown>>;

export async function everythingSeen(engine: StorageEngine): Promise<Seen> {
  const seen: Record<string, unknown> = {};
  for (const queue of queues) seen[short(queue)] = await queueSeen(engine, queue);
  const { revision, records } = await engine.catalog.load();
  seen["catalog"] = { revision, records };
  seen["audit"] = (await engine.catalog.readAudit({ limit: 100 })).map(({ action, resource, details }) => ({
    action,
    resource,
    details,
  }));
  for (const key of ["module one", "module two"]) {
    const bytes = await engine.catalog.getBlob(key);
    seen[key] = bytes === undefined ? "none" : digest(bytes);
  }
  seen["holders"] = (await engine.holders()).toSorted();
  return seen;
}

async function queueSeen(engine: StorageEngine, queue: QueueId): Promise<unknown> {
  let metrics: Awaited<ReturnType<StorageEngine["metrics"]>>;
  try {
    metrics = await engine.metrics(queue);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "QUEUE_NOT_FOUND") return "none";
    throw error;
  }
  const { backlog, readiness, accounting } = metrics;
  const { accepted, acked, deadLettered, expired, purged, dropped } = accounting;
  if (accepted !== backlog.count + acked + deadLettered + expired + purged + dropped)
    throw new Error(`the accounting law does not hold in ${short(queue)}: ${JSON.stringify(metrics)}`);
  const messages = await engine.peek(queue, { max: 100 });
  const bytes = messages.reduce((sum, { body }) => sum + body.length, 0);
  if (messages.length !== backlog.count || bytes !== backlog.bytes)
    throw new Error(`${short(queue)} counts ${backlog.count} messages and shows ${messages.length}`);
  return {
    backlog: { count: backlog.count, bytes: backlog.bytes },
    ready: readiness.ready,
    accounting,
    messages: messages
      .map(({ id, sentAt, body, source, attempts, state, until }) => ({
        id,
        sentAt,
        body: digest(body),
        source,
        attempts,
        state,
        until,
      }))
      .toSorted((a, b) => (a.id < b.id ? -1 : 1)),
  };
}

function short(queue: QueueId): string {
  return { [orders]: "orders", [letters]: "letters", [mail]: "mail", [brief]: "brief" }[queue] ?? queue;
}

function digest(bytes: Uint8Array): string {
  return createHash("sha1").update(bytes).digest("hex").slice(0, 12);
}
