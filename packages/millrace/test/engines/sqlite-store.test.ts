// The store itself, without its thread: what fails finds the request it belongs to, and slices of work in the background end.

import assert from "node:assert/strict";
import { rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { epochMs, makeMessageId, milliseconds } from "../../src/core/index.ts";
import type { CatalogOperation, Holder, LeasedMessage, QueueId } from "../../src/core/index.ts";
import { databasePath, openDatabase } from "../../src/engines/sqlite/database.ts";
import { readLeasedFrame } from "../../src/engines/sqlite/leased-frame.ts";
import type { Tuning } from "../../src/engines/sqlite/ledger.ts";
import { isPack, packCount } from "../../src/engines/sqlite/pack.ts";
import { PromiseFile } from "../../src/engines/sqlite/promise-file.ts";
import { done } from "../../src/engines/sqlite/protocol.ts";
import type { Answer, Request, Results } from "../../src/engines/sqlite/protocol.ts";
import { recordLength, writeRecord } from "../../src/engines/sqlite/record.ts";
import { Query } from "../../src/engines/sqlite/sql.ts";
import { Store } from "../../src/engines/sqlite/store.ts";
import type { WaitingRequest } from "../../src/engines/sqlite/store.ts";
import { first } from "./harness.ts";
import { temporaryFolder } from "./sqlite-harness.ts";

const now = epochMs(1_800_000_000_000);
const queue = "0".repeat(31).concat("1") as QueueId;
const other = "0".repeat(31).concat("2") as QueueId;
const tuning: Tuning = { foldBytes: 1_000_000, runsInMemory: 1_000, partsKept: 500, checkpointPages: 4_000 };

let ids = 0;

class StoreHarness implements AsyncDisposable {
  readonly folder: string;
  database: ReturnType<typeof openDatabase>;
  store: Store;
  #bytes = Buffer.alloc(0);
  #isClosed = false;

  private constructor(folder: string) {
    this.folder = folder;
    this.database = openDatabase(folder);
    this.store = new Store(this.database, tuning, PromiseFile.open(folder));
  }

  static async open(): Promise<StoreHarness> {
    const harness = new StoreHarness(await temporaryFolder());
    harness.commit(0, { kind: "createQueue", queue }, { kind: "createQueue", queue: other });
    return harness;
  }

  reopen(): void {
    this.store.close();
    this.database = openDatabase(this.folder);
    this.store = new Store(this.database, tuning, PromiseFile.open(this.folder));
  }

  run(...requests: readonly WaitingRequest[]): readonly Answer[] {
    const { answers, bytes } = this.store.run(requests);
    this.#bytes = Buffer.from(bytes.join() ?? []);
    return answers;
  }

  /** What a lease of the last run answered. */
  leased(answer: Answer | undefined): readonly LeasedMessage[] {
    const frame = resultOf("lease", answer);
    return frame === undefined ? [] : readLeasedFrame(this.#bytes, frame);
  }

  commit(expectedRevision: number, ...operations: readonly Exclude<CatalogOperation, { kind: "put" }>[]): void {
    assert.deepEqual(this.run(ask({ op: "commit", expectedRevision, operations, audit: [] })), [
      { result: expectedRevision + 1 },
    ]);
  }

  send(count: number, to = queue, size = 10): void {
    assert.deepEqual(this.run(sending(to, count, size)), [done]);
  }

  count(sql: string): number {
    return Number(Object.values(this.database.prepare(sql).get() ?? {})[0]);
  }

  /** Messages in rows of the log, dead ones included. */
  stored(): number {
    const rows = new Query<readonly [Uint8Array]>(this.database, "SELECT data FROM log WHERE queue <> 0").all();
    return rows.reduce((sum, [data]) => sum + (isPack(data) ? (packCount(data) ?? 0) : 1), 0);
  }

  backlog(of = queue): number {
    return resultOf("metrics", this.run(ask({ op: "metrics", queue: of, now }))[0]).backlog.count;
  }

  close(): void {
    if (!this.#isClosed) this.store.close();
    this.#isClosed = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
    await rm(this.folder, { recursive: true, force: true });
  }
}

function ask(request: Request, bytes = Buffer.alloc(0)): WaitingRequest {
  return { request, bytes };
}

function sending(to: QueueId, count: number, size: number, delayMs = 0): WaitingRequest {
  const records: Buffer[] = [];
  let end = 0;
  const messages = Array.from({ length: count }, () => {
    const random = new Uint8Array(10);
    new DataView(random.buffer).setUint32(6, (ids += 1));
    const body = new Uint8Array(size).fill(ids);
    const message = {
      id: makeMessageId(now, random),
      sentAt: now,
      contentType: "bytes",
      body,
      visibleAt: undefined,
    } as const;
    const record = Buffer.alloc(recordLength(message));
    writeRecord(record, 0, message, now);
    records.push(record);
    const start = end;
    end += record.length;
    return { start, end, visibleAt: epochMs(delayMs === 0 ? 0 : now + delayMs) };
  });
  return ask({ op: "send", queue: to, now, resend: false, anyAge: false, messages }, Buffer.concat(records));
}

function leasing(max: number, at = now): WaitingRequest {
  const holder = "server:1" as Holder;
  return ask({
    op: "lease",
    queue,
    now: at,
    max,
    window: undefined,
    visibility: milliseconds(60_000),
    holder,
    durable: true,
  });
}

function resultOf<O extends keyof Results>(_operation: O, answer: Answer | undefined): Results[O] {
  assert.ok(answer !== undefined && answer !== done && "result" in answer, JSON.stringify(answer));
  return answer.result as Results[O];
}

function codeOf(answer: Answer | undefined): string | undefined {
  return answer !== undefined && answer !== done && "failure" in answer ? answer.failure.code : undefined;
}

test("a full disk refuses the send that does not fit, and settles, leases and sends what does", async () => {
  await using harness = await StoreHarness.open();
  harness.send(3);
  const { lease } = first(harness.leased(harness.run(leasing(1))[0]));
  const pages = harness.count("PRAGMA page_count");
  harness.database.exec(`PRAGMA max_page_count = ${pages + 3}`);
  const answers = harness.run(
    sending(queue, 1, 10),
    sending(other, 1, 120_000),
    ask({ op: "settle", queue, now, acks: "", each: [{ lease, decision: { kind: "ack" } }], whole: [], durable: true }),
    leasing(1),
    ask({ op: "metrics", queue, now }),
  );
  assert.deepEqual(answers.map(codeOf), [undefined, "STORAGE_FULL", undefined, undefined, undefined]);
  assert.equal(resultOf("settle", answers[2]).done, 1);
  assert.equal(harness.leased(answers[3]).length, 1);
  assert.equal(resultOf("metrics", answers[4]).backlog.count, 3);
  assert.equal(harness.backlog(other), 0);

  harness.database.exec("PRAGMA max_page_count = 100000");
  harness.send(1, other, 120_000);
  harness.reopen();
  assert.deepEqual([harness.backlog(), harness.backlog(other)], [3, 1]);
});

test("a failure in the middle of a group leaves answers and their bodies with the right requests", async () => {
  await using harness = await StoreHarness.open();
  harness.send(4);
  // Nobody sends no message as one, so it stands for a defect.
  const messages = [null as never];
  const defect = ask({ op: "send", queue, now, resend: false, anyAge: false, messages });
  const [before, broken, after] = harness.run(leasing(1), defect, leasing(2));
  assert.equal(codeOf(broken), "INTERNAL");
  const leased = [...harness.leased(before), ...harness.leased(after)];
  assert.deepEqual(
    leased.map(({ body }) => body[0]),
    Array.from({ length: 3 }, (_, index) => (ids - 3 + index) % 256),
  );
  assert.equal(harness.backlog(), 4);
});

test("a settlement that need not wait is on disk soon, and with whatever is synced before", async () => {
  await using harness = await StoreHarness.open();
  harness.send(3);
  const settle = (): void => {
    const { lease } = first(harness.leased(harness.run(leasing(1))[0]));
    const each = [{ lease, decision: { kind: "ack" } } as const];
    const request = ask({ op: "settle", queue, now, acks: "", each, whole: [], durable: false });
    const [answer] = harness.store.run([request], { syncs: false }).answers;
    assert.equal(resultOf("settle", answer).done, 1);
  };
  const promised = (): number | undefined => PromiseFile.open(harness.folder)?.before?.position;

  settle();
  const before = promised();
  assert.equal(harness.backlog(), 2); // which only reads
  assert.equal(promised(), before);
  assert.ok(harness.store.owedForMs() !== undefined);
  harness.send(1);
  assert.equal(harness.store.owedForMs(), undefined);

  for (let left = harness.backlog(); left > 0; left -= 1) settle();
  harness.run(ask({ op: "purge", queue, now })); // finds nothing, and is answered all the same
  assert.equal(harness.store.owedForMs(), undefined);
  harness.send(1);

  settle();
  while (harness.store.owedForMs() !== undefined) harness.store.payUp();
  assert.equal(promised(), harness.count("SELECT max(position) FROM log"));
});

test("rows of acknowledged messages are deleted, and their pages used again", async () => {
  await using harness = await StoreHarness.open();
  const cycle = (): void => {
    harness.send(500, queue, 200);
    for (let batch = 0; batch < 5; batch += 1) {
      const number = resultOf("lease", harness.run(leasing(100))[0])?.batch;
      const whole = [{ batch: (number ?? 0).toString(36) as never, decision: { kind: "ack" } as const }];
      harness.run(ask({ op: "settle", queue, now, acks: "", each: [], whole, durable: true }));
    }
    while (harness.store.tidyUp());
  };
  cycle();
  assert.equal(harness.stored(), 0);
  const pages = harness.count("PRAGMA page_count");
  for (let round = 0; round < 10; round += 1) cycle();
  assert.ok(harness.count("PRAGMA page_count") <= pages + 10);
});

test("messages that leave in another order than they came leave little to be deleted, though requests always wait", async () => {
  await using harness = await StoreHarness.open();
  const all = 12_000;
  for (let sent = 0; sent < all; sent += 1_000) {
    const delays = Array.from({ length: 1_000 }, (_, index) => 1 + (((sent + index) * 7_919) % all));
    harness.run(...delays.map((delay) => sending(queue, 1, 10, delay)));
  }
  const due = epochMs(now + all);
  for (let batches = 0; batches < 60; batches += 1) {
    const number = resultOf("lease", harness.run(leasing(100, due))[0])?.batch;
    const whole = [{ batch: (number ?? 0).toString(36) as never, decision: { kind: "ack" } as const }];
    harness.run(ask({ op: "settle", queue, now: due, acks: "", each: [], whole, durable: true }));
    harness.store.keepUp();
  }
  harness.reopen();
  // Each of these is a row that every fold writes again.
  const parts = harness.count("SELECT count(*) FROM dead");
  assert.ok(parts < 2_000, `${parts} runs of ${all / 2} messages that are gone`);
  assert.equal(harness.backlog(), all / 2);
  while (harness.store.tidyUp());
  assert.ok(harness.stored() <= all / 2 + 4 * tuning.partsKept);
  const left = new Set<string>();
  for (let leases = 0; leases < all / 2; leases += 1_000)
    for (const { id } of harness.leased(harness.run(leasing(1_000, due))[0])) left.add(id);
  assert.equal(left.size, all / 2);
});

test("a dropped queue is emptied in slices, over a restart too", async () => {
  await using harness = await StoreHarness.open();
  for (let batch = 0; batch < 60; batch += 1) harness.send(100);
  for (let batch = 0; batch < 40; batch += 1) harness.run(sending(queue, 100, 10, 60_000));
  harness.send(10, other);
  harness.run(leasing(100), leasing(50));
  harness.commit(1, { kind: "dropQueue", queue });
  harness.store.tidyUp();
  const left = harness.stored();
  assert.ok(left > 5_000, "one slice is not all of it");
  harness.reopen();
  while (harness.store.tidyUp());
  assert.equal(harness.stored(), 10);
  for (const table of ["later", "holes", "leases"])
    assert.equal(harness.count(`SELECT count(*) FROM ${table}`), 0, table);
  assert.equal(harness.count("SELECT count(*) FROM queues"), 1);
  assert.equal(harness.backlog(other), 10);
});

test("a send waits for a part of a dropped queue to be emptied, even when its messages lie scattered among others", async () => {
  await using harness = await StoreHarness.open();
  const all = 8_000;
  for (let sent = 0; sent < all; sent += 1_000) {
    const pairs = Array.from({ length: 1_000 }, () => [sending(queue, 1, 10, 60_000), sending(other, 1, 10)]);
    harness.run(...pairs.flat());
  }
  harness.store.keepUp(); // nothing is left behind
  harness.commit(1, { kind: "dropQueue", queue });
  harness.store.tidyUp(); // begins to empty it, and then requests wait
  harness.store.keepUp();
  const left = harness.stored() - all;
  assert.ok(left > all / 2, `${left} of ${all} messages left`);
  assert.equal(harness.backlog(other), all);
  while (harness.store.tidyUp());
  assert.equal(harness.stored(), all);
  assert.equal(harness.count("SELECT count(*) FROM queues"), 1);
});

test("a purged queue takes messages at once while the old ones are still being deleted", async () => {
  await using harness = await StoreHarness.open();
  for (let batch = 0; batch < 50; batch += 1) harness.send(100);
  assert.equal(resultOf("purge", harness.run(ask({ op: "purge", queue, now }))[0]).purged, 5_000);
  harness.send(3);
  harness.store.tidyUp();
  assert.equal(harness.backlog(), 3);
  harness.reopen();
  while (harness.store.tidyUp());
  assert.equal(harness.stored(), 3);
  assert.equal(harness.backlog(), 3);
});

test("the write-ahead log does not grow without bound, neither idle nor under load", async () => {
  await using harness = await StoreHarness.open();
  const wal = `${databasePath(harness.folder)}-wal`;
  for (let group = 0; group < 12; group += 1) {
    harness.run(...Array.from({ length: 100 }, () => sending(queue, 1, 60_000)));
    harness.store.keepUp();
  }
  assert.ok((await stat(wal)).size < 32_000_000);
  while (harness.store.tidyUp());
  const [, pages, checkpointed] = Object.values(harness.database.prepare("PRAGMA wal_checkpoint(NOOP)").get() ?? {});
  assert.ok(Number(pages) - Number(checkpointed) < 1_000);
});

test("the data folder is made for its owner alone", async () => {
  const parent = await temporaryFolder();
  try {
    const folder = join(parent, "deep", "data");
    const store = new Store(openDatabase(folder), tuning);
    assert.equal((await stat(folder)).mode & 0o777, 0o700);
    store.close();
  } finally {
    await rm(parent, { recursive: true, force: true });
  }
});
