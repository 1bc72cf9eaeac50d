// A recount bites: whatever is wrong in the file is found, named, and told apart.

import assert from "node:assert/strict";
import { rm } from "node:fs/promises";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { judgeConservation, makeMessageId } from "../../src/core/index.ts";
import type { QueueId, Recount } from "../../src/core/index.ts";
import { databasePath } from "../../src/engines/sqlite/database.ts";
import { checkedColumns } from "../../src/engines/sqlite/checksum-step.ts";
import { laterSumSql } from "../../src/engines/sqlite/later-line.ts";
import type { SqlValue } from "../../src/engines/sqlite/sql.ts";
import { sumOf } from "../../src/engines/sqlite/sums.ts";
import { openSqliteEngine } from "../../src/engines/sqlite/index.ts";
import { ManualClock } from "./harness.ts";
import { silent, temporaryFolder } from "./sqlite-harness.ts";

const queue = "1".repeat(32) as QueueId;

/** Stores ten messages, of which two are delayed, harms the file, and recounts. */
async function recountAfter(harm: (database: DatabaseSync) => void): Promise<Recount> {
  const folder = await temporaryFolder();
  const clock = new ManualClock();
  const open = async () => await openSqliteEngine({ folder, clock, logger: silent });
  try {
    const engine = await open();
    await engine.catalog.commit({ expectedRevision: 0, operations: [{ kind: "createQueue", queue }], audit: [] });
    for (let index = 0; index < 10; index += 1) {
      const id = makeMessageId(clock.now(), new Uint8Array(10).fill(index));
      const visibleAt = index < 8 ? undefined : clock.in(1_000);
      const message = { id, sentAt: clock.now(), contentType: "text", body: new Uint8Array(100), visibleAt } as const;
      await engine.send(queue, [message]); // one by one, so that each has a row
    }
    await engine[Symbol.asyncDispose]();
    const database = new DatabaseSync(databasePath(folder));
    harm(database);
    // What is not what was stored is found when the data is opened. This is about mistakes of the program, which it believes.
    database.function("millrace_sum", { varargs: true }, (...values) => sumOf(...(values as SqlValue[])));
    database.exec(`
      UPDATE later SET sum = ${laterSumSql};
      UPDATE queues SET sum = millrace_sum(${checkedColumns.queues.join(", ")});
    `);
    database.close();
    await using harmed = await open();
    const recount = await harmed.verify(queue);
    assert.ok(recount !== undefined);
    return recount;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const codes = (recount: Recount): readonly string[] => judgeConservation(recount).map(({ code }) => code);

test("a file nobody harmed passes", async () => {
  const recount = await recountAfter(() => undefined);
  assert.deepEqual([codes(recount), recount.stored.count], [[], 10]);
});

test("messages whose rows are gone are missing", async () => {
  const recount = await recountAfter((database) => {
    database.exec("DELETE FROM log WHERE queue = 1 AND position IN (SELECT position FROM log WHERE queue = 1 LIMIT 3)");
  });
  assert.deepEqual([recount.missing, recount.stored.count], [3, 7]);
  assert.deepEqual(codes(recount), ["MISSING", "RECOUNT_DIFFERS"]);
});

test("a message that no consumer would get is stranded", async () => {
  const recount = await recountAfter((database) => {
    database.exec(`
      DELETE FROM later WHERE position = (SELECT max(position) FROM later);
      UPDATE queues SET later_count = later_count - 1;
    `);
  });
  assert.equal(recount.stranded, 1);
  assert.deepEqual(codes(recount), ["STRANDED", "RECOUNT_DIFFERS", "UNBALANCED", "MISCOUNTED"]);
});

test("a message that waits in two places is doubled", async () => {
  const recount = await recountAfter((database) => {
    database.exec(`
      INSERT INTO later SELECT queue, 1, position, 0, 0 FROM log WHERE queue = 1 ORDER BY position LIMIT 1;
      UPDATE queues SET later_count = later_count + 1;
    `);
  });
  assert.equal(recount.doubled, 1);
  assert.deepEqual(codes(recount), ["DOUBLED", "UNBALANCED", "MISCOUNTED"]);
});

test("a counter that is wrong is told from a message that is gone", async () => {
  const recount = await recountAfter((database) => {
    database.exec("UPDATE queues SET accepted = accepted + 5, backlog_count = backlog_count + 1");
  });
  assert.deepEqual(codes(recount), ["RECOUNT_DIFFERS", "UNBALANCED", "MISCOUNTED"]);
  assert.match(
    judgeConservation(recount)[1]?.text ?? "",
    /^accepted messages unaccounted for: 5 \(15 accepted; 10 held/,
  );
});

test("records that are no messages are unreadable", async () => {
  const recount = await recountAfter((database) => {
    database.exec(`
      UPDATE log SET data = CAST(x'ff' || substr(data, 2) AS BLOB)
      WHERE position IN (SELECT position FROM log WHERE queue = 1 ORDER BY position LIMIT 5);
    `);
  });
  assert.equal(recount.unreadable, 5);
  assert.deepEqual(codes(recount), ["UNREADABLE"]);
});

test("a recount that is given up answers nothing, and the next one is whole", async () => {
  const folder = await temporaryFolder();
  try {
    await using engine = await openSqliteEngine({ folder, clock: new ManualClock(), logger: silent });
    await engine.catalog.commit({ expectedRevision: 0, operations: [{ kind: "createQueue", queue }], audit: [] });
    const [first, second] = await Promise.all([engine.verify(queue, () => false), engine.verify(queue)]);
    assert.equal(first, undefined);
    assert.deepEqual(judgeConservation(second ?? assert.fail()), []);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
