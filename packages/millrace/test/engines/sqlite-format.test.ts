// Data that an earlier format holds opens in this one, with everything in it, however often the change is interrupted.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { judgeConservation, minutes } from "../../src/core/index.ts";
import type { Holder, QueueId, StorageEngine } from "../../src/core/index.ts";
import { databasePath } from "../../src/engines/sqlite/database.ts";
import { openSqliteEngine } from "../../src/engines/sqlite/index.ts";
import { everyChange, FaultControl, FaultDisk, whyNoFaultDisk } from "../faults/fault-disk.ts";
import { sweepsAll, sweepTimeoutMs } from "../faults/sweep.ts";
import { ManualClock } from "./harness.ts";
import { silent } from "./sqlite-harness.ts";

const skip = (await whyNoFaultDisk()) ?? false;
const orders = "1".repeat(32) as QueueId;
const letters = "2".repeat(32) as QueueId;

/**
 * Written by the last program of format 1, which was then killed: 12 messages of which one is acknowledged, one retried, one
 * dead-lettered, three leased and one purged; then two more, one of them delayed.
 */
const formatOne = (): string => dataOf("format-1", "messages.db", "messages.db-wal");
/** The same after the last program of format 2 had opened and closed it. */
const formatTwo = (): string => dataOf("format-2", "messages.db");

function dataOf(format: string, ...names: readonly string[]): string {
  const folder = mkdtempSync(join(tmpdir(), "millrace-format-"));
  for (const name of names) {
    const packed = readFileSync(new URL(`../faults/${format}/${name}.gz`, import.meta.url));
    writeFileSync(join(folder, name), gunzipSync(packed));
  }
  return folder;
}

async function assertWhole(engine: StorageEngine, clock: ManualClock): Promise<void> {
  const { backlog, accounting } = await engine.metrics(orders);
  assert.deepEqual([backlog.count, backlog.bytes], [11, 103]);
  assert.deepEqual(accounting, { accepted: 14, acked: 1, deadLettered: 1, expired: 0, purged: 1, dropped: 0 });
  const { revision, records } = await engine.catalog.load();
  assert.deepEqual([revision, records.map(({ value }) => value)], [1, [{ name: "orders" }, { name: "letters" }]]);
  assert.equal((await engine.catalog.readAudit({ limit: 10 })).length, 1);
  assert.deepEqual(await engine.catalog.getBlob("module"), new Uint8Array(500).fill(9));
  for (const queue of [orders, letters]) {
    const recount = await engine.verify(queue);
    assert.deepEqual(recount === undefined ? "given up" : judgeConservation(recount), []);
  }
  await engine.releaseHolder("server:first" as Holder);
  clock.advance(minutes(2));
  const lease = { max: 20, window: undefined, visibility: minutes(5), holder: "server:second" as Holder };
  const { messages } = await engine.lease(orders, lease);
  const numbers = messages.map(({ body }) => Number(new TextDecoder().decode(body).replace("message ", "")));
  assert.equal(new Set(numbers).size, 11);
  const [letter] = (await engine.lease(letters, lease)).messages;
  assert.ok(letter !== undefined);
  // A message of the old format moves into another queue like any other, and gets its checksums there.
  const [one, ...others] = messages;
  assert.ok(one !== undefined);
  await engine.settle(orders, {
    each: [
      { lease: one.lease, decision: { kind: "deadLetter", queue: letters } },
      ...others.map((each) => ({ lease: each.lease, decision: { kind: "ack" } as const })),
    ],
    whole: [],
  });
  assert.deepEqual((await engine.lease(letters, lease)).messages[0]?.body, one.body);
}

for (const [format, write] of [
  [1, formatOne],
  [2, formatTwo],
] as const) {
  test(`data of format ${format} is taken over, message by message, and works on`, async () => {
    const folder = write();
    try {
      const clock = new ManualClock();
      {
        await using engine = await openSqliteEngine({ folder, clock, logger: silent });
        await assertWhole(engine, clock);
      }
      await using again = await openSqliteEngine({ folder, clock, logger: silent });
      assert.equal((await again.metrics(letters)).backlog.count, 2);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
}

test(
  "a process killed at any call to the disk while it takes the data over leaves all of it",
  { skip, timeout: sweepTimeoutMs },
  async (context) => {
    await using disk = await FaultDisk.make();
    using control = new FaultControl(disk.controlFile);
    const child = fileURLToPath(new URL("../faults/open-child.ts", import.meta.url));
    const folder = formatOne();
    const env = disk.environment("messages.db");
    let [at, kills] = [1, 0];
    try {
      for (const effects = ["killBefore", "killTorn", "killAfter"] as const; ; kills += 1) {
        control.arm({ operations: everyChange, at, last: at, effect: effects[kills % 3] ?? "killTorn", error: "EIO" });
        const copy = join(folder, "copy");
        mkdirSync(copy);
        for (const name of ["messages.db", "messages.db-wal"]) copyFileSync(join(folder, name), join(copy, name));
        const { signal, status } = spawnSync(process.execPath, [child, copy], { env });
        control.mend();
        const clock = new ManualClock();
        {
          await using engine = await openSqliteEngine({ folder: copy, clock, logger: silent });
          await assertWhole(engine, clock);
        }
        rmSync(copy, { recursive: true });
        if (signal === null) {
          assert.equal(status, 0);
          break;
        }
        at += sweepsAll ? 1 : 9;
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
    context.diagnostic(`${kills} kills, up to call ${at}`);
    assert.ok(kills > 2);
  },
);

test("a bit flipped in data of format 1 keeps it from being taken over, and leaves it as it is", async () => {
  const folder = formatOne();
  try {
    const database = new DatabaseSync(databasePath(folder));
    database.exec("PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode = DELETE");
    database.close();
    const bytes = readFileSync(databasePath(folder));
    bytes[100] = (bytes[100] ?? 0) ^ 0x40; // the kind of the first page
    writeFileSync(databasePath(folder), bytes);
    await assert.rejects(openSqliteEngine({ folder, clock: new ManualClock(), logger: silent }), {
      code: "DATA_DAMAGED",
    });
    assert.deepEqual(readFileSync(databasePath(folder)), bytes);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
