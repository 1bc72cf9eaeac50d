// kill -9 between any two steps loses nothing that was answered.

import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { rm } from "node:fs/promises";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { judgeConservation } from "../../src/core/index.ts";
import type { Holder, MessageId, QueueId, StorageEngine } from "../../src/core/index.ts";
import { openSqliteEngine } from "../../src/engines/sqlite/index.ts";
import { ManualClock } from "./harness.ts";
import { silent, temporaryFolder } from "./sqlite-harness.ts";

const child = fileURLToPath(new URL("./sqlite-crash-child.ts", import.meta.url));

/** What the child says, one line of JSON each, when the engine has answered; and before it settles, since that may happen unanswered. */
export type CrashReport =
  | { readonly kind: "sent"; readonly queue: QueueId; readonly ids: readonly MessageId[] }
  | { readonly kind: "settling"; readonly step: number; readonly ids: readonly MessageId[] }
  | { readonly kind: "acked"; readonly ids: readonly MessageId[] }
  | { readonly kind: "moved"; readonly step: number; readonly ids: readonly MessageId[]; readonly to: QueueId };

class Expectation {
  /** Answered sends, by where they are; a number: that step was deciding about them and was not answered. */
  readonly #stored = new Map<MessageId, QueueId | number>();
  readonly #acked = new Set<MessageId>();

  learn(report: CrashReport): void {
    switch (report.kind) {
      case "sent":
        for (const id of report.ids) this.#stored.set(id, report.queue);
        return;
      case "settling":
        for (const id of report.ids) this.#stored.set(id, report.step);
        return;
      case "acked":
        for (const id of report.ids) {
          this.#stored.delete(id);
          this.#acked.add(id);
        }
        return;
      case "moved":
        // Somebody else may have leased it already and be deciding.
        for (const id of report.ids) if (this.#stored.get(id) === report.step) this.#stored.set(id, report.to);
        return;
      default:
        report satisfies never;
    }
  }

  get size(): number {
    return this.#stored.size + this.#acked.size;
  }

  /** Compares with what is there, and takes over what only the disk can tell: how unanswered steps ended. */
  check(found: ReadonlyMap<MessageId, QueueId>): void {
    for (const [id, queue] of this.#stored) {
      const where = found.get(id);
      if (typeof queue === "string") assert.equal(where, queue, `message ${id} was accepted`);
      if (where === undefined) this.#stored.delete(id);
    }
    for (const id of this.#acked) assert.ok(!found.has(id), `message ${id} was acknowledged`);
    for (const [id, queue] of found) this.#stored.set(id, queue);
  }
}

async function everything(engine: StorageEngine, queues: readonly QueueId[]): Promise<Map<MessageId, QueueId>> {
  const found = new Map<MessageId, QueueId>();
  for (const queue of queues) {
    const recount = await engine.verify(queue);
    assert.ok(recount !== undefined);
    assert.deepEqual(judgeConservation(recount), []);
    const { backlog } = recount;
    let count = 0;
    let bytes = 0;
    let page = await engine.peek(queue, { max: 100 });
    while (page.length > 0) {
      for (const { id, body } of page) {
        assert.ok(!found.has(id), `message ${id} is stored once`);
        found.set(id, queue);
        count += 1;
        bytes += body.length;
      }
      page = await engine.peek(queue, { max: 100, after: page.at(-1)?.ref });
    }
    assert.deepEqual([backlog.count, backlog.bytes], [count, bytes]);
  }
  return found;
}

for (const [name, tuning] of [
  ["", {}],
  [", folding all the time", { foldBytes: 400, runsInMemory: 0, partsKept: 0 }],
] as const) {
  test(`kill -9 at random moments loses nothing that was answered${name}`, { timeout: 120_000 }, async () => {
    const folder = await temporaryFolder();
    const expectation = new Expectation();
    const queues = [1, 2, 3].map((number) => number.toString(16).padStart(32, "0") as QueueId);
    const holders = new Set<Holder>();
    try {
      for (let round = 0; round < 8; round += 1) {
        const killAfter = 1 + Math.floor(Math.random() * 120);
        await runAndKill(folder, round, killAfter, tuning, expectation);

        const engine = await openSqliteEngine({ folder, clock: new ManualClock(), logger: silent });
        try {
          expectation.check(await everything(engine, queues));
          for (const holder of await engine.holders()) {
            holders.add(holder);
            await engine.releaseHolder(holder);
          }
          expectation.check(await everything(engine, queues));
          assert.deepEqual(await engine.holders(), []);
        } finally {
          await engine[Symbol.asyncDispose]();
        }
      }
      assert.ok(expectation.size > 100, "the child got something done");
      assert.ok(holders.size > 0, "it was killed while it held leases");
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
}

async function runAndKill(
  folder: string,
  round: number,
  killAfter: number,
  tuning: object,
  expectation: Expectation,
): Promise<void> {
  const process = fork(child, [folder, String(round), JSON.stringify(tuning)], {
    stdio: ["ignore", "pipe", "inherit", "ipc"],
  });
  const exited = once(process, "exit");
  assert.ok(process.stdout);
  let reports = 0;
  for await (const line of createInterface({ input: process.stdout })) {
    // A line cut short by the kill was never read by anybody.
    if (!line.endsWith("}")) continue;
    expectation.learn(JSON.parse(line) as CrashReport);
    reports += 1;
    if (reports === killAfter) process.kill("SIGKILL");
  }
  const [, signal] = await exited;
  assert.equal(signal, "SIGKILL", "the child runs until it is killed");
}
