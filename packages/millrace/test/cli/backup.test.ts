// `millrace backup` and `millrace restore`: of a server that runs, of a folder, and what is refused.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { copyFile, mkdir, open, readFile, readdir, stat, writeFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, before, describe, test } from "node:test";
import { CatalogView, epochMs, judgeConservation } from "../../src/core/index.ts";
import type { PeekedMessage } from "../../src/core/index.ts";
import { checkedColumns } from "../../src/engines/sqlite/checksum-step.ts";
import { labelBackup, openSqliteEngine } from "../../src/engines/sqlite/index.ts";
import type { SqlValue } from "../../src/engines/sqlite/sql.ts";
import { sumOf } from "../../src/engines/sqlite/sums.ts";
import { accountId } from "../api/api-harness.ts";
import { openTemporarySqlite, silent } from "../engines/sqlite-harness.ts";
import { cli, startApiServer, temporaryFolder } from "./cli-harness.ts";
import type { ApiServer, CliResult } from "./cli-harness.ts";

let folder: AsyncDisposable & { readonly path: string };
let server: ApiServer;
before(async () => {
  folder = await temporaryFolder();
  server = await startApiServer({ openEngine: openTemporarySqlite });
});
after(async () => {
  await server[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

const online = async (...args: readonly string[]): Promise<CliResult> =>
  await cli(args, { cwd: folder.path, env: server.env });
const offline = async (...args: readonly string[]): Promise<CliResult> => await cli(args, { cwd: folder.path });
const at = (...names: readonly string[]): string => join(folder.path, ...names);

/** Everything in a data folder: by queue, the bodies in order. Each queue is recounted too. */
async function contents(data: string): Promise<Record<string, readonly string[]>> {
  await using engine = await openSqliteEngine({
    folder: data,
    clock: { now: () => epochMs(Date.now()) },
    logger: silent,
  });
  const found: Record<string, readonly string[]> = {};
  for (const { id, name } of CatalogView.of(await engine.catalog.load()).all("queue")) {
    const messages: PeekedMessage[] = [];
    for (let page = await engine.peek(id, { max: 100 }); page.length > 0;) {
      messages.push(...page);
      page = await engine.peek(id, { max: 100, after: page.at(-1)?.ref });
    }
    found[name] = messages.map(({ body }) => Buffer.from(body).toString());
    assert.deepEqual(judgeConservation((await engine.verify(id)) ?? assert.fail()), []);
  }
  return found;
}

describe("a backup of a server that runs", () => {
  test("is one file, and becomes a data folder with everything in it", async () => {
    await online("queues", "create", "orders");
    await online("queues", "create", "empty");
    await online("queues", "send", "orders", "1", "2", "3");
    const { exitCode, stdout, stderr } = await online("backup", "copy.db");
    assert.equal(exitCode, 0, stderr);
    assert.match(stdout, /^Wrote copy\.db, [\d.]+ kB\. Restore it: millrace restore copy\.db --data <folder>\n$/);
    assert.deepEqual(await readdir(folder.path), ["copy.db"]);
    assert.deepEqual(await readdir(server.harness.folder), [], "the server keeps nothing of it");
    if (process.platform !== "win32") assert.equal((await stat(at("copy.db"))).mode & 0o777, 0o600);

    const restored = await offline("restore", "copy.db", "--data", "restored");
    assert.equal(restored.exitCode, 0, restored.stderr);
    assert.match(restored.stdout, /^Restored 2 queues with 3 messages into restored, as of \S+ \S+, account a{32}\.$/m);
    assert.match(restored.stdout, /^Every message was read: all that were accepted are accounted for\.$/m);
    assert.match(restored.stdout, /^Start it: millrace serve --data restored$/m);
    assert.deepEqual(await contents(at("restored")), { orders: ["1", "2", "3"], empty: [] });
    assert.equal((await readFile(at("restored", "account_id"), "utf8")).trim(), accountId);
    assert.ok(!existsSync(at("restored", "token")), "the administrator token is not part of it");
    assert.deepEqual(await readFile(at("restored", ".gitignore"), "utf8"), "*\n");
  });

  test("does not overwrite a file unless it is told to", async () => {
    await writeFile(at("mine.db"), "mine");
    const { exitCode, stderr } = await online("backup", "mine.db");
    assert.equal(exitCode, 2);
    assert.match(stderr, /mine\.db exists already\. Choose another name, or overwrite it with --force\./);
    assert.equal(await readFile(at("mine.db"), "utf8"), "mine");
    const forced = await online("backup", "mine.db", "--force", "--json");
    const { file, bytes, account_id } = JSON.parse(forced.stdout) as Record<string, unknown>;
    assert.deepEqual([file, bytes, account_id], [at("mine.db"), (await stat(at("mine.db"))).size, accountId]);
  });

  test("leaves nothing behind when the server cannot make it", async () => {
    const { engine } = server.harness;
    const backup = engine.backup.bind(engine);
    engine.backup = async () => Promise.reject(new Error("the disk is on fire"));
    const { exitCode, stderr } = await online("backup", "failed.db");
    engine.backup = backup;
    assert.equal(exitCode, 1);
    assert.match(stderr, /^millrace: the server could not make it: Error: the disk is on fire\n$/);
    assert.deepEqual(
      (await readdir(folder.path)).filter((name) => name.startsWith("failed")),
      [],
    );
    assert.deepEqual(await readdir(server.harness.folder), []);
  });

  test("is for administrators", async () => {
    const made = await online("tokens", "create", "ci", "--scope", "workers:write", "--json");
    const { value } = JSON.parse(made.stdout) as { value: string };
    const { exitCode, stderr } = await cli(["backup", "ci.db"], {
      cwd: folder.path,
      env: { ...server.env, CLOUDFLARE_API_TOKEN: value },
    });
    assert.equal(exitCode, 1);
    assert.match(stderr, /this needs admin/);
  });
});

describe("a backup of a folder on which no server runs", () => {
  test("is as good", async () => {
    const data = at("restored");
    const { exitCode, stdout, stderr } = await offline("backup", "offline.db", "--data", data);
    assert.equal(exitCode, 0, stderr);
    assert.match(stderr, /^No server runs on .*restored: backing up the folder itself\.\n/);
    assert.match(stdout, /^Wrote offline\.db/);
    const restored = await offline("restore", "offline.db", "--data", "again", "--json");
    const { account_id, queues } = JSON.parse(restored.stdout) as Record<string, unknown>;
    assert.equal(account_id, accountId);
    assert.deepEqual(queues, [
      { queue_name: "orders", messages: 3, holds: true, findings: [] },
      { queue_name: "empty", messages: 0, holds: true, findings: [] },
    ]);
    assert.deepEqual(await contents(at("again")), await contents(data));
  });

  test("takes the folder's lock, and needs data", async () => {
    await using _ = await openSqliteEngine({
      folder: at("restored"),
      clock: { now: () => epochMs(Date.now()) },
      logger: silent,
    });
    const locked = await offline("backup", "locked.db", "--data", "restored");
    assert.equal(locked.exitCode, 1);
    assert.match(locked.stderr, /DATA_LOCKED/);
    const nothing = await offline("backup", "nothing.db", "--data", "absent");
    assert.match(nothing.stderr, /there is no data in .*absent\. Name the data folder of a server/);
    assert.deepEqual(
      (await readdir(folder.path)).filter((name) => /locked|nothing|absent/.test(name)),
      [],
    );
  });

  test("doctor checks what no server runs on: the counters, and every message when asked", async () => {
    const shallow = await offline("doctor", "--data", "again");
    assert.match(shallow.stdout, /^ok +Messages +2 queues, 3 accepted, 3 held: all accounted for \(by the counters/m);
    const deep = await offline("doctor", "--data", "again", "--deep");
    assert.match(deep.stdout, /^ok +Messages +2 queues, 3 accepted, 3 held: all accounted for \(read one by one\)$/m);
    const absent = await offline("doctor", "--data", "absent");
    assert.match(absent.stdout, /^-- +Messages +there are none yet/m);
    assert.equal(absent.exitCode, 0);
  });

  test("doctor says loudly that a database which was there is gone", async () => {
    await offline("restore", "offline.db", "--data", "emptied");
    await rm(at("emptied", "messages.db"));
    const { stdout, exitCode } = await offline("doctor", "--data", "emptied");
    assert.match(stdout, /^BAD +Messages +the database that was in .*emptied is gone/m);
    assert.equal(exitCode, 1);
  });

  test("doctor says loudly what does not add up in data that no server runs on", async () => {
    await offline("restore", "offline.db", "--data", "miscounted");
    const database = new DatabaseSync(join(at("miscounted"), "messages.db"));
    // With its checksum: a mistake of the program, not of the disk.
    database.function("millrace_sum", { varargs: true }, (...values) => sumOf(...(values as SqlValue[])));
    database.exec(`
      UPDATE queues SET accepted = accepted + 2 WHERE accepted = 3;
      UPDATE queues SET sum = millrace_sum(${checkedColumns.queues.join(", ")});
    `);
    database.close();
    for (const [how, remedy] of [
      [[], /`millrace doctor --deep` reads every message and says whether any is gone/],
      [["--deep"], /Every message that is held was read, and is there: a counter is wrong/],
    ] as const) {
      const { stdout, exitCode } = await offline("doctor", "--data", "miscounted", ...how);
      assert.match(stdout, /^BAD +Messages +orders: accepted messages unaccounted for: 2 \(5 accepted; 3 held/m);
      assert.match(stdout, remedy);
      assert.equal(stdout.includes("doctor --deep"), how.length === 0);
      assert.equal(exitCode, 1);
    }
  });

  test("doctor leaves data alone that somebody has locked", async () => {
    await using _ = await openSqliteEngine({
      folder: at("miscounted"),
      clock: { now: () => epochMs(Date.now()) },
      logger: silent,
    });
    const { stdout } = await offline("doctor", "--data", "miscounted");
    assert.match(stdout, /^-- +Messages +not checked: .*DATA_LOCKED/m);
  });
});

describe("serve says what to do about a backup", () => {
  test("given in place of a folder", async () => {
    const { stdout, exitCode } = await offline("serve", "--data", "copy.db", "--log-format", "pretty");
    assert.match(stdout, /copy\.db is a file, .*millrace restore .*copy\.db --data <folder>/);
    assert.equal(exitCode, 1);
  });

  test("alone in the folder, and makes nothing there", async () => {
    await mkdir(at("backups"));
    await copyFile(at("copy.db"), at("backups", "monday.db"));
    const { stdout, exitCode } = await offline("serve", "--data", "backups", "--log-format", "pretty");
    assert.match(stdout, /holds a backup, monday\.db\. Make a folder of it: millrace restore .*monday\.db --data/);
    assert.equal(exitCode, 1);
    assert.deepEqual(await readdir(at("backups")), ["monday.db"]);
  });
});

describe("restore refuses", () => {
  /** Restores what `harm` made of a good backup; answers what was said. */
  async function restoring(name: string, harm: (file: string) => unknown): Promise<CliResult> {
    const file = at(`${name}.db`);
    await copyFile(at("copy.db"), file);
    await harm(file);
    return await offline("restore", file, "--data", name);
  }

  test("a folder that is not empty, and touches nothing in it", async () => {
    await mkdir(at("full"));
    await writeFile(at("full", "thesis.txt"), "mine");
    const { exitCode, stderr } = await offline("restore", "copy.db", "--data", "full");
    assert.equal(exitCode, 1);
    assert.match(stderr, /full is not empty\. Restore into a new folder/);
    assert.deepEqual(await readdir(at("full")), ["thesis.txt"]);
  });

  test("what is no backup, and leaves an empty folder empty", async () => {
    await mkdir(at("vacant"));
    for (const [content, words] of [
      [
        "hello, I am a text that is long enough to be looked at as if it were a database of some kind",
        /is not a database/,
      ],
      ["", /is no backup of Millrace/],
    ] as const) {
      await writeFile(at("text.db"), content);
      const { exitCode, stderr } = await offline("restore", "text.db", "--data", "vacant");
      assert.equal(exitCode, 1);
      assert.match(stderr, words);
      assert.deepEqual(await readdir(at("vacant")), []);
    }
    assert.match((await offline("restore", "absent.db", "--data", "vacant")).stderr, /there is no file/);
  });

  test("a damaged file, and one that was cut short", async () => {
    const cut = await restoring("cut", async (file) => {
      await using handle = await open(file, "r+");
      await handle.truncate(Math.floor((await handle.stat()).size / 8_192) * 4_096);
    });
    assert.match(cut.stderr, /DATA_DAMAGED/);
    assert.ok(!existsSync(at("cut")), "nothing is left of it");
    const flipped = await restoring("flipped", async (file) => {
      await using handle = await open(file, "r+");
      const { size } = await handle.stat();
      for (let page = 4_096; page < size; page += 4_096) await handle.write(Buffer.alloc(64, 0xff), 0, 64, page);
    });
    assert.match(flipped.stderr, /DATA_DAMAGED/);
  });

  test("a file of a newer version", async () => {
    const { stderr } = await restoring("newer", (file) => {
      const database = new DatabaseSync(file);
      database.exec("PRAGMA user_version = 99");
      database.close();
    });
    assert.match(stderr, /The stored data has format 99.*DATA_TOO_NEW/);
  });

  test("nothing where only messages are missing: what is there is restored, and what is not is told", async () => {
    const { exitCode, stdout } = await restoring("lossy", (file) => {
      const database = new DatabaseSync(file);
      database.exec("DELETE FROM log WHERE queue = 1");
      database.close();
    });
    assert.equal(exitCode, 1);
    assert.match(
      stdout,
      /^orders: messages that wait or are leased, but are no longer stored: 3\. Restore the newest backup/m,
    );
  });

  test("no file without a label: the account is then a new one", async () => {
    const { exitCode, stdout } = await restoring("unlabelled", (file) => {
      const database = new DatabaseSync(file);
      database.exec("DROP TABLE backup");
      database.close();
    });
    assert.equal(exitCode, 0);
    assert.match(stdout, /The file does not say which account it was of/);
    assert.ok(!existsSync(at("unlabelled", "account_id")));
    labelBackup(at("unlabelled.db"), { accountId: "b".repeat(32), madeAt: epochMs(0), version: "1" });
    const labelled = await offline("restore", "unlabelled.db", "--data", "labelled");
    assert.match(labelled.stdout, /account b{32}/);
  });
});
