// Opens the data of a server that does not run, as that server would: under its lock.

import { access } from "node:fs/promises";
import { CatalogView, epochMs, judgeConservation } from "../../core/index.ts";
import type { Discrepancy, QueueRecord, Recount, StorageEngine } from "../../core/index.ts";
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

export interface CheckedQueue {
  readonly queue: QueueRecord;
  readonly recount: Recount;
  readonly discrepancies: readonly Discrepancy[];
}

/** Reads every message of every queue. */
export async function recountAll(
  engine: StorageEngine,
  onQueue: (queue: QueueRecord, done: number, total: number) => void,
): Promise<readonly CheckedQueue[]> {
  const queues = CatalogView.of(await engine.catalog.load()).all("queue");
  const checked: CheckedQueue[] = [];
  for (const queue of queues) {
    onQueue(queue, checked.length, queues.length);
    const recount = await engine.verify(queue.id);
    if (recount === undefined) throw new Error("the recount was given up, though nobody said so");
    checked.push({ queue, recount, discrepancies: judgeConservation(recount) });
  }
  return checked;
}
