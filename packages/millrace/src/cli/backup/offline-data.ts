// Opens the data of a server that does not run, as that server would: under its lock.

import { access } from "node:fs/promises";
import { CatalogView, epochMs, judgeConservation } from "../../core/index.ts";
import type { CountedQueue, Discrepancy, QueueRecord, Recount, StorageEngine } from "../../core/index.ts";
import { CommandFailure } from "../command-failure.ts";

const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

/** Throws `DATA_LOCKED` while a server has it, and what opening it throws; a `CommandFailure` when there is nothing. */
export async function openOfflineData(folder: string): Promise<StorageEngine> {
  // Loaded here: commands that ask a running server do without an engine of their own.
  const { databasePath, openSqliteEngine } = await import("../../engines/sqlite/index.ts");
  await access(databasePath(folder)).catch((cause: unknown) => {
    throw new CommandFailure(`there is no data in ${folder}. Name the data folder of a server: --data <folder>.`, {
      cause,
    });
  });
  return await openSqliteEngine({ folder, clock: { now: () => epochMs(Date.now()) }, logger: silent });
}

export interface CheckedQueue<Counted extends CountedQueue = CountedQueue> {
  readonly queue: QueueRecord;
  readonly counted: Counted;
  readonly discrepancies: readonly Discrepancy[];
}

/** What the counters of every queue say. */
export async function readCounters(engine: StorageEngine): Promise<readonly CheckedQueue[]> {
  return await checkAll(engine, async ({ id }) => await engine.metrics(id));
}

/** Reads every message of every queue. */
export async function recountAll(
  engine: StorageEngine,
  onQueue: (queue: QueueRecord, done: number, total: number) => void,
): Promise<readonly CheckedQueue<Recount>[]> {
  return await checkAll(engine, async (queue, done, total) => {
    onQueue(queue, done, total);
    const recount = await engine.verify(queue.id);
    if (recount === undefined) throw new Error("the recount was given up, though nobody said so");
    return recount;
  });
}

async function checkAll<Counted extends CountedQueue>(
  engine: StorageEngine,
  count: (queue: QueueRecord, done: number, total: number) => Promise<Counted>,
): Promise<readonly CheckedQueue<Counted>[]> {
  const queues = CatalogView.of(await engine.catalog.load()).all("queue");
  const checked: CheckedQueue<Counted>[] = [];
  for (const queue of queues) {
    const counted = await count(queue, checked.length, queues.length);
    checked.push({ queue, counted, discrepancies: judgeConservation(counted) });
  }
  return checked;
}
