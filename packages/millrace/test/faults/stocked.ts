// A data folder with some of everything in it, and what must be found in there: for tests that damage the files.

import { copyFileSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { isMillraceError, makeMessageId, minutes } from "../../src/core/index.ts";
import type { Holder, LeasedMessage, MessageId, NewMessage, QueueId, StorageEngine } from "../../src/core/index.ts";
import type { Tuning } from "../../src/engines/sqlite/ledger.ts";
import { ManualClock } from "../engines/harness.ts";
import { openInProcess } from "./in-process-link.ts";
import type { InProcessEngine } from "./in-process-link.ts";
import { seeded } from "./power-loss.ts";

const holder = "server:first" as Holder;
const later = "server:later" as Holder;
const queueIds = [1, 2, 3, 4].map((number) => number.toString(16).padStart(32, "0") as QueueId);

/** What is stored of a message, apart from where it stands. */
type Content = Pick<LeasedMessage, "id" | "sentAt" | "contentType" | "source"> & { readonly body: string };

export interface Stock {
  readonly folder: string;
  /** By queue: everything accepted and not acknowledged, and how often it was delivered. */
  readonly messages: ReadonlyMap<
    QueueId,
    ReadonlyMap<MessageId, { readonly content: Content; readonly attempts: number }>
  >;
  readonly records: unknown;
  readonly audit: unknown;
  /** Acknowledged, so nobody may be given them. */
  readonly acked: ReadonlySet<MessageId>;
}

const blobKey = "0123456789abcdef";
const blobBytes = new Uint8Array(10_000).fill(7);

/** `folds`: seldom leaves much to be replayed, often leaves it in tables. */
export async function stock(folder: string, tuning: Tuning, closes: boolean): Promise<Stock> {
  const clock = new ManualClock();
  const random = seeded(7);
  const store = openInProcess(folder, clock, tuning);
  const { engine } = store;
  const messages = new Map(
    queueIds.map((queue) => [queue, new Map<MessageId, { content: Content; attempts: number }>()]),
  );
  const acked = new Set<MessageId>();
  await engine.catalog.commit({
    expectedRevision: 0,
    operations: queueIds.flatMap((queue, index) => [
      { kind: "createQueue", queue } as const,
      { kind: "put", record: { kind: "queue", key: queue, value: { name: `queue-${index}`, retries: 3 } } } as const,
    ]),
    audit: [{ at: clock.now(), action: "CreateQueue", actor: "test", resource: "queue-0", details: { count: 4 } }],
  });
  await engine.catalog.putBlob(blobKey, blobBytes);

  let ids = 0;
  const newMessage = (): NewMessage => {
    ids += 1;
    const unique = new Uint8Array(10);
    new DataView(unique.buffer).setUint32(6, ids);
    const size = ids % 17 === 0 ? 9_000 : 20 + Math.floor(random() * 400);
    return {
      id: makeMessageId(clock.now(), unique),
      sentAt: clock.now(),
      contentType: "bytes",
      body: Uint8Array.from({ length: size }, () => Math.floor(random() * 256)),
      visibleAt: ids % 5 === 0 ? clock.in(60_000) : undefined,
      source: ids % 11 === 0 ? "dash" : undefined,
    };
  };
  for (let round = 0; round < 30; round += 1) {
    clock.advance(10);
    for (const queue of queueIds) {
      const sent = Array.from({ length: 1 + (round % 3) }, newMessage);
      await engine.send(queue, sent);
      for (const message of sent) messages.get(queue)?.set(message.id, { content: contentOf(message), attempts: 0 });
    }
    const queue = queueIds[round % queueIds.length] as QueueId;
    const { messages: leased } = await engine.lease(queue, {
      max: 4,
      window: undefined,
      visibility: minutes(5),
      holder,
    });
    const each = leased.map(({ lease }, index) => ({
      lease,
      decision: [{ kind: "ack" }, { kind: "retry", visibleAt: clock.in(30_000) }, { kind: "release" }][index % 4],
    }));
    const decisions = each.flatMap(({ lease, decision }) => (decision === undefined ? [] : [{ lease, decision }]));
    await engine.settle(queue, { each: decisions as never, whole: [] });
    for (const [index, { id, attempts }] of leased.entries()) {
      const known = messages.get(queue)?.get(id);
      if (known === undefined) continue;
      if (index % 4 === 0) {
        messages.get(queue)?.delete(id);
        acked.add(id);
      } else if (index % 4 === 1) known.attempts = attempts;
      // The fourth stays leased; what is given back counts no attempt, and neither does what is given back later.
    }
  }
  const { records } = await engine.catalog.load();
  const audit = await engine.catalog.readAudit({ limit: 100 });
  // Everything into the database file, with or without a fold.
  if (closes) await engine[Symbol.asyncDispose]();
  else {
    store.database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    store.database.close();
  }
  return { folder, messages, records, audit, acked };
}

export function copyFolder(from: string, to: string): void {
  mkdirSync(to, { recursive: true });
  for (const { name } of readdirSync(from, { withFileTypes: true }).filter((entry) => entry.isFile()))
    copyFileSync(join(from, name), join(to, name));
}

/** What came of looking for everything. */
export interface Findings {
  /** Messages that were not handed out. */
  readonly missing: number;
  /** Failures met, by what was asked. All of them said what they must. */
  readonly refusals: readonly string[];
}

/** Takes everything out of a store. Throws when anything is given out that is not exactly what was accepted. */
export async function takeOut(
  stocked: Stock,
  store: InProcessEngine,
  clock: ManualClock,
  /** It was damaged, and what was stored about deliveries may be lost: then a message may be given out again. */
  isMended: boolean,
): Promise<Findings> {
  const { engine } = store;
  const refusals: string[] = [];
  const attempt = async <T>(what: string, ask: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await ask();
    } catch (error) {
      if (!isMillraceError(error, "DATA_DAMAGED")) throw new Error(`${what} failed in other words`, { cause: error });
      refusals.push(`${what}: ${error.detail}`);
      return undefined;
    }
  };
  const same = (what: string, found: unknown, expected: unknown): void => {
    if (found !== undefined && !isDeepStrictEqual(found, expected)) throw new Error(`${what} is given out wrong`);
  };
  same("the catalog", (await attempt("catalog", async () => await engine.catalog.load()))?.records, stocked.records);
  if (!isMended)
    same(
      "the audit log",
      await attempt("audit", async () => await engine.catalog.readAudit({ limit: 100 })),
      stocked.audit,
    );
  const blob = await attempt("blob", async () => await engine.catalog.getBlob(blobKey));
  same("the blob", blob, blobBytes);
  clock.advance(minutes(20));
  await attempt("release", async () => await engine.releaseHolder(holder));
  await attempt("survey", async () => await engine.survey());
  let missing = 0;
  const seen = new Set<MessageId>();
  for (const [queue, expected] of stocked.messages) {
    await attempt("metrics", async () => await engine.metrics(queue));
    await attempt("peek", async () => await peekAll(stocked, queue, expected, engine, isMended));
    for (let isOver = false; !isOver;) {
      const request = { max: 10, window: undefined, visibility: minutes(5), holder: later };
      const leased = await attempt(`lease of ${queue.slice(-1)}`, async () => await engine.lease(queue, request));
      isOver = leased === undefined || (leased.messages.length === 0 && leased.readiness.ready === 0);
      for (const message of leased?.messages ?? []) {
        check(stocked, expected, message, seen, isMended);
        seen.add(message.id);
      }
    }
    missing += [...expected.keys()].filter((id) => !seen.has(id)).length;
  }
  await attempt("release", async () => await engine.releaseHolder(later));
  return { missing, refusals };
}

async function peekAll(
  stocked: Stock,
  queue: QueueId,
  expected: ReadonlyMap<MessageId, { readonly content: Content }>,
  engine: StorageEngine,
  isMended: boolean,
): Promise<void> {
  let page = await engine.peek(queue, { max: 100 });
  while (page.length > 0) {
    for (const message of page) {
      const known = expected.get(message.id);
      if (known === undefined && isMended && stocked.acked.has(message.id)) continue;
      if (known === undefined || !isDeepStrictEqual(contentOf(message), known.content))
        throw new Error(`peek shows ${message.id}, which is not there, or not so`);
    }
    page = await engine.peek(queue, { max: 100, after: page.at(-1)?.ref });
  }
}

function check(
  stocked: Stock,
  expected: ReadonlyMap<MessageId, { readonly content: Content; readonly attempts: number }>,
  message: LeasedMessage,
  seen: ReadonlySet<MessageId>,
  isMended: boolean,
): void {
  const known = expected.get(message.id);
  if (isMended && stocked.acked.has(message.id)) return;
  if (stocked.acked.has(message.id)) throw new Error(`${message.id} was acknowledged and is given out again`);
  if (seen.has(message.id)) throw new Error(`${message.id} is given out twice`);
  if (known === undefined) throw new Error(`${message.id} was never in this queue`);
  if (!isDeepStrictEqual(contentOf(message), known.content)) throw new Error(`${message.id} is given out changed`);
  if (!isMended && message.attempts !== known.attempts + 1)
    throw new Error(`${message.id} is given out as attempt ${message.attempts} after ${known.attempts}`);
}

function contentOf({
  id,
  sentAt,
  contentType,
  source,
  body,
}: NewMessage | (Omit<Content, "body"> & { readonly body: Uint8Array })): Content {
  return { id, sentAt, contentType, source, body: Buffer.from(body).toString("latin1") };
}
