// Opening data that somebody else has, that is damaged, or that another version wrote.

import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { readFile, rm, writeFile } from "node:fs/promises";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { isMillraceError } from "../../src/core/index.ts";
import type { ErrorCode, StorageEngine } from "../../src/core/index.ts";
import { databasePath } from "../../src/engines/sqlite/database.ts";
import { openSqliteEngine } from "../../src/engines/sqlite/index.ts";
import { migrate } from "../../src/engines/sqlite/migrations.ts";
import { Harness, ManualClock, texts } from "./harness.ts";
import { silent, sqliteUnderTest, temporaryFolder } from "./sqlite-harness.ts";

async function openEngine(folder: string): Promise<StorageEngine> {
  return await openSqliteEngine({ folder, clock: new ManualClock(), logger: silent });
}

async function withFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await temporaryFolder();
  try {
    await body(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const hasCode =
  (code: ErrorCode) =>
  (error: unknown): boolean =>
    isMillraceError(error, code);

test("a folder in use is refused, within the process and from another one, until its user is gone", async () => {
  await withFolder(async (folder) => {
    const first = await openEngine(folder);
    await assert.rejects(openEngine(folder), hasCode("DATA_LOCKED"));
    await first[Symbol.asyncDispose]();

    const child = fork(fileURLToPath(new URL("./sqlite-crash-child.ts", import.meta.url)), [folder], {
      stdio: ["ignore", "pipe", "inherit", "ipc"],
    });
    assert.ok(child.stdout);
    await once(child.stdout, "data");
    await assert.rejects(openEngine(folder), hasCode("DATA_LOCKED"));
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await exited;
    const second = await openEngine(folder);
    await second[Symbol.asyncDispose]();
  });
});

test("a file that is no database is refused and left as it is", async () => {
  await withFolder(async (folder) => {
    const text = "this is not a database, but somebody's notes ".repeat(200);
    await writeFile(databasePath(folder), text);
    await assert.rejects(openEngine(folder), hasCode("DATA_DAMAGED"));
    assert.equal(await readFile(databasePath(folder), "utf8"), text);
  });
});

test("damage inside the file takes what it is in, and harms nobody else", async () => {
  await using harness = await Harness.open(sqliteUnderTest("sqlite", {}, damageBodies));
  const queue = await harness.queue();
  const healthy = await harness.queue();
  await harness.send(queue, { body: new Uint8Array(100_000).fill(1) });
  await harness.send(healthy, ...texts(3));
  await harness.restart("reopen");
  assert.deepEqual((await harness.lease(queue, 1)).messages, []);
  assert.equal((await harness.engine.peek(healthy, { max: 3 })).length, 3);
});

/** Breaks the chains of pages that hold large bodies of ones; the bodies' own bytes are not checked by SQLite. */
async function damageBodies(folder: string): Promise<void> {
  const path = databasePath(folder);
  const content = await readFile(path);
  for (let page = 0; page < content.length; page += 4_096) {
    if (content.subarray(page + 100, page + 200).every((byte) => byte === 1)) content.fill(255, page, page + 4);
  }
  await writeFile(path, content);
}

test("data of a newer version is refused and left as it is", async () => {
  await withFolder(async (folder) => {
    await (await openEngine(folder))[Symbol.asyncDispose]();
    const database = new DatabaseSync(databasePath(folder));
    database.exec("PRAGMA user_version = 999");
    database.close();
    await assert.rejects(openEngine(folder), hasCode("DATA_TOO_NEW"));
    const again = new DatabaseSync(databasePath(folder));
    assert.equal(again.prepare("PRAGMA user_version").get()?.["user_version"], 999);
    again.close();
  });
});

test("a migration that is interrupted has not happened, and happens at the next opening", async () => {
  await withFolder(async (folder) => {
    const one = "CREATE TABLE a (x); INSERT INTO a VALUES (1);";
    const interrupted = "ALTER TABLE a ADD COLUMN y; UPDATE a SET y = 2; SELECT no_such_function();";
    const two = "ALTER TABLE a ADD COLUMN y; UPDATE a SET y = 3;";
    const database = new DatabaseSync(databasePath(folder));
    migrate(database, [one]);
    assert.throws(() => migrate(database, [one, interrupted]));
    assert.deepEqual({ ...database.prepare("SELECT * FROM a").get() }, { x: 1 });
    migrate(database, [one, two]);
    assert.deepEqual({ ...database.prepare("SELECT * FROM a").get() }, { x: 1, y: 3 });
    migrate(database, [one, two]);
    assert.deepEqual({ ...database.prepare("SELECT count(*) AS rows FROM a").get() }, { rows: 1 });
    database.close();
  });
});

test("a folder that cannot be made is told", async () => {
  await withFolder(async (folder) => {
    await writeFile(databasePath(folder), "");
    await assert.rejects(openEngine(`${databasePath(folder)}/deeper`), hasCode("UNAVAILABLE"));
  });
});
