// A backup of an engine at work is as of one commit: nothing that was acknowledged before is missing, nothing is there twice.

import assert from "node:assert/strict";
import { access, mkdir, readdir, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { isMillraceError, judgeConservation, makeMessageId, minutes } from "../../src/core/index.ts";
import type { BackupProgress, MessageId, QueueId, StorageEngine } from "../../src/core/index.ts";
import { databasePath } from "../../src/engines/sqlite/database.ts";
import { openSqliteEngine } from "../../src/engines/sqlite/index.ts";
import { holderA, ManualClock } from "./harness.ts";
import { silent, temporaryFolder } from "./sqlite-harness.ts";

const [kept, moving, dead] = ["1", "2", "3"].map((digit) => digit.repeat(32) as QueueId) as [QueueId, QueueId, QueueId];

class Workshop implements AsyncDisposable {
  readonly folder: string;
  readonly clock = new ManualClock();
  readonly engine: StorageEngine;
  #ids = 0;

  private constructor(folder: string, engine: StorageEngine) {
    this.folder = folder;
    this.engine = engine;
  }

  static async open(): Promise<Workshop> {
    const folder = await temporaryFolder();
    const engine = await openSqliteEngine({ folder: join(folder, "data"), clock: new ManualClock(), logger: silent });
    const operations = [kept, moving, dead].map((queue) => ({ kind: "createQueue", queue }) as const);
    await engine.catalog.commit({ expectedRevision: 0, operations, audit: [] });
    return new Workshop(folder, engine);
  }

  get file(): string {
    return join(this.folder, "copy.db");
  }

  async send(queue: QueueId, count: number, bytes: number): Promise<MessageId[]> {
    const messages = Array.from({ length: count }, () => {
      this.#ids += 1;
      const random = new Uint8Array(10);
      new DataView(random.buffer).setUint32(6, this.#ids);
      const sentAt = this.clock.now();
      const id = makeMessageId(sentAt, random);
      return { id, sentAt, contentType: "bytes", body: new Uint8Array(bytes), visibleAt: undefined } as const;
    });
    await this.engine.send(queue, messages);
    return messages.map(({ id }) => id);
  }

  /** The copy, as a server would open it. */
  async openCopy(): Promise<StorageEngine> {
    const folder = join(this.folder, "restored");
    await mkdir(folder);
    await rename(this.file, databasePath(folder));
    return await openSqliteEngine({ folder, clock: this.clock, logger: silent });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.engine[Symbol.asyncDispose]();
    await rm(this.folder, { recursive: true, force: true });
  }
}

async function idsIn(engine: StorageEngine, queue: QueueId): Promise<MessageId[]> {
  const ids: MessageId[] = [];
  for (let page = await engine.peek(queue, { max: 100 }); page.length > 0;) {
    ids.push(...page.map(({ id }) => id));
    page = await engine.peek(queue, { max: 100, after: page.at(-1)?.ref });
  }
  return ids;
}

test("a backup under load holds everything acknowledged before it began, as of one commit", async () => {
  await using workshop = await Workshop.open();
  const { engine } = workshop;
  for (let round = 0; round < 20; round += 1) {
    await workshop.send(kept, 500, 1_000);
    await workshop.send(moving, 500, 1_000);
  }
  const acknowledged = await idsIn(engine, kept);
  const stop = new AbortController();
  const sending = async (): Promise<void> => {
    while (!stop.signal.aborted) acknowledged.push(...(await workshop.send(kept, 20, 500)));
  };
  const moves = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      await workshop.send(moving, 10, 500);
      const { messages } = await engine.lease(moving, {
        max: 20,
        window: undefined,
        visibility: minutes(1),
        holder: holderA,
      });
      await engine.settle(moving, {
        whole: [],
        each: messages.map(({ lease }, index) => ({
          lease,
          decision: index % 2 === 0 ? { kind: "deadLetter", queue: dead } : { kind: "ack" },
        })),
      });
    }
  };
  const load = Promise.all([sending(), moves()]);
  const before = [...acknowledged];
  const progress: BackupProgress[] = [];
  const isWritten = await engine.backup(workshop.file, (step) => progress.push(step) > 0);
  const after = [...acknowledged];
  stop.abort();
  await load;
  assert.equal(isWritten, true);
  assert.ok(after.length > before.length, "sends went on while it was written");
  assert.ok(progress.length > 0 && progress.every(({ copiedBytes, totalBytes }) => copiedBytes <= totalBytes));
  assert.deepEqual(
    (await readdir(workshop.folder)).toSorted(),
    ["copy.db", "data"],
    "nothing else is left lying about",
  );
  if (process.platform !== "win32") assert.equal((await stat(workshop.file)).mode & 0o777, 0o600);

  await using copy = await workshop.openCopy();
  const inCopy = await idsIn(copy, kept);
  assert.deepEqual(inCopy, acknowledged.slice(0, inCopy.length), "it has the sends up to one of them, in order");
  assert.ok(inCopy.length >= before.length, "what was acknowledged before is there");
  for (const queue of [kept, moving, dead]) {
    const recount = await copy.verify(queue);
    assert.ok(recount !== undefined);
    assert.deepEqual(judgeConservation(recount), []);
  }
  const [inMoving, inDead] = [await idsIn(copy, moving), await idsIn(copy, dead)];
  assert.equal(new Set([...inMoving, ...inDead]).size, inMoving.length + inDead.length, "nothing is there twice");
  const { accounting } = await copy.metrics(moving);
  assert.equal(accounting.deadLettered, inDead.length, "a move is whole or not at all");
});

test("a backup ends though more is written than a step of it copies", async () => {
  await using workshop = await Workshop.open();
  for (let round = 0; round < 10; round += 1) await workshop.send(kept, 20, 100_000);
  const stop = new AbortController();
  const flood = async (): Promise<void> => {
    while (!stop.signal.aborted) await workshop.send(kept, 40, 100_000);
  };
  const load = Promise.all([flood(), flood()]);
  assert.equal(await workshop.engine.backup(workshop.file), true);
  stop.abort();
  await load;
  await using copy = await workshop.openCopy();
  assert.deepEqual(judgeConservation((await copy.verify(kept)) ?? assert.fail()), []);
});

test("a small store is copied in one step, leases and catalog with it", async () => {
  await using workshop = await Workshop.open();
  const { engine } = workshop;
  await workshop.send(kept, 3, 10);
  await engine.lease(kept, { max: 2, window: undefined, visibility: minutes(1), holder: holderA });
  const record = { kind: "queue", key: kept, value: { name: "kept" } };
  await engine.catalog.commit({ expectedRevision: 1, operations: [{ kind: "put", record }], audit: [] });
  assert.equal(await engine.backup(workshop.file), true);
  await using copy = await workshop.openCopy();
  assert.deepEqual(await copy.holders(), [holderA]);
  assert.deepEqual(await copy.catalog.load(), { revision: 2, records: [record] });
  assert.deepEqual((await copy.metrics(kept)).backlog.count, 3);
});

test("a backup that is given up, or cannot be written, leaves nothing behind and the store at work", async () => {
  await using workshop = await Workshop.open();
  const { engine, file } = workshop;
  for (let round = 0; round < 20; round += 1) await workshop.send(kept, 500, 1_000);
  const progress: BackupProgress[] = [];
  assert.equal(await engine.backup(file, (step) => progress.push(step) < 2), false);
  assert.ok((progress[1]?.totalBytes ?? 0) > 10_000_000, "it was given up half way");
  await assert.rejects(access(file), { code: "ENOENT" });
  await assert.rejects(engine.backup(join(workshop.folder, "absent", "copy.db")), { code: "ENOENT" });
  await writeFile(file, "mine");
  await assert.rejects(engine.backup(file), { code: "EEXIST" });
  assert.equal((await stat(file)).size, 4);
  await rm(file);

  const first = engine.backup(file);
  await assert.rejects(engine.backup(join(workshop.folder, "second.db")), (error) =>
    isMillraceError(error, "UNAVAILABLE"),
  );
  assert.equal(await first, true);
  await workshop.send(kept, 1, 10);
});

test("closing the engine ends a backup that is being written", async () => {
  await using workshop = await Workshop.open();
  const { engine, file } = workshop;
  for (let round = 0; round < 40; round += 1) await workshop.send(kept, 500, 1_000);
  const backup = assert.rejects(engine.backup(file), (error) => isMillraceError(error, "ENGINE_CLOSED"));
  await engine.metrics(kept);
  await engine[Symbol.asyncDispose]();
  await backup;
  await assert.rejects(access(file), { code: "ENOENT" });
  const folder = join(workshop.folder, "data");
  await using again = await openSqliteEngine({ folder, clock: workshop.clock, logger: silent });
  assert.deepEqual(judgeConservation((await again.verify(kept)) ?? assert.fail()), []);
});
