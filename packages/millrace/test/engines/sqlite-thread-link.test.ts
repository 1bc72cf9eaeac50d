// The way to the store thread: a thread that ends by itself, requests that cannot be written, too much at once.

import assert from "node:assert/strict";
import { test } from "node:test";
import { isMillraceError, makeMessageId } from "../../src/core/index.ts";
import type { Logger, MessageId } from "../../src/core/index.ts";
import { ThreadLink } from "../../src/engines/sqlite/thread-link.ts";
import { Harness } from "./harness.ts";
import { silent, sqliteUnderTest } from "./sqlite-harness.ts";

/** A thread that opens, and ends at the first message it gets. */
const dyingThread = new URL(
  `data:text/javascript,${encodeURIComponent(`
    import { parentPort } from "node:worker_threads";
    parentPort.postMessage({ kind: "opened" });
    parentPort.once("message", () => process.exit(1));
  `)}`,
);

const start = { folder: "unused", tuning: { foldBytes: 0, runsInMemory: 0, partsKept: 0, checkpointPages: 1 } };
const holders = (): { readonly op: "holders" } => ({ op: "holders" });

test("when the thread ends by itself, what it was given has an unknown outcome and the rest is refused", async () => {
  const events: string[] = [];
  const logger: Logger = { ...silent, error: (event) => void events.push(event) };
  const link = await ThreadLink.start(start, logger, () => {}, dyingThread);
  const asked = [link.ask(0, holders), link.ask(0, holders)];
  for (const each of asked) await assert.rejects(each, (error) => isMillraceError(error, "UNKNOWN_OUTCOME"));
  await assert.rejects(link.ask(0, holders), (error) => isMillraceError(error, "UNAVAILABLE"));
  await link.close();
  assert.deepEqual(events, ["storage.failed"]);
});

test("closing while the thread ends by itself ends all the same", async () => {
  const link = await ThreadLink.start(start, silent, () => {}, dyingThread);
  const asked = assert.rejects(link.ask(0, holders), (error) => isMillraceError(error, "UNKNOWN_OUTCOME"));
  await link.close();
  await asked;
});

test("a message that cannot be stored is refused without harm to what is asked at the same time", async () => {
  await using harness = await Harness.open(sqliteUnderTest("sqlite", {}));
  const queue = await harness.queue();
  const badId = { ...harness.message("bad"), id: "not hexadecimal" as MessageId };
  const badSource = { ...harness.message("bad"), source: "x".repeat(255) };
  const outcomes = await Promise.allSettled([
    harness.engine.send(queue, [harness.message("a")]),
    harness.engine.send(queue, [badId]),
    harness.engine.send(queue, [badSource]),
    harness.engine.send(queue, [harness.message("b")]),
  ]);
  assert.deepEqual(
    outcomes.map(({ status }) => status),
    ["fulfilled", "rejected", "rejected", "fulfilled"],
  );
  assert.deepEqual(await harness.stored(queue), ["a", "b"]);
});

test("more than may be under way at once waits for its turn", async () => {
  await using harness = await Harness.open(sqliteUnderTest("sqlite", {}));
  const queue = await harness.queue();
  const body = new Uint8Array(1_000_000);
  const sends = Array.from({ length: 100 }, async (_, index) => {
    const random = new Uint8Array(10).fill(index);
    const id = makeMessageId(harness.clock.now(), random);
    await harness.engine.send(queue, [{ ...harness.message({ body }), id }]);
  });
  await Promise.all(sends);
  assert.equal((await harness.backlog(queue)).count, 100);
});

test("what would wait without bound is refused, and nothing of it happened", async () => {
  await using harness = await Harness.open(sqliteUnderTest("sqlite", {}));
  const queue = await harness.queue();
  const body = new Uint8Array(30_000_000);
  const outcomes = await Promise.allSettled(
    Array.from({ length: 12 }, async () => await harness.engine.send(queue, [harness.message({ body })])),
  );
  const refused = outcomes.filter((outcome) => outcome.status === "rejected");
  assert.equal(refused.length, 4);
  for (const { reason } of refused) assert.ok(isMillraceError(reason, "UNAVAILABLE"));
  assert.equal((await harness.backlog(queue)).count, 8);
});
