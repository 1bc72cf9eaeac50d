// Makes a data folder of a backup. The database gets its name last, so a folder where this was interrupted holds no data yet.

import { chmod, copyFile, mkdir, readdir, rename, rm, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { makeDataFolder } from "../../config/index.ts";
import type { Recount } from "../../core/index.ts";
import type { BackupLabel } from "../../engines/sqlite/index.ts";
import { CommandFailure } from "../command-failure.ts";
import { assertThere } from "../given-file.ts";
import type { Progress } from "../progress.ts";
import { sync } from "./draft.ts";
import { openOfflineData, recountAll } from "./offline-data.ts";
import type { CheckedQueue } from "./offline-data.ts";

export interface Restored {
  readonly folder: string;
  /** `undefined`: the file carries none. */
  readonly label: BackupLabel | undefined;
  readonly queues: readonly CheckedQueue<Recount>[];
}

/** Throws when the folder holds anything, and when the file is no backup, damaged, or too new; the folder is as before then. */
export async function restore(file: string, folder: string, progress: Progress): Promise<Restored> {
  const { databasePath, unlabelBackup } = await import("../../engines/sqlite/index.ts");
  await assertThere(file);
  await assertEmpty(folder);
  const made = await mkdir(folder, { recursive: true, mode: 0o700 });
  const database = databasePath(folder);
  const draft = `${database}.restoring`;
  let label: BackupLabel | undefined;
  try {
    progress.show(() => "copying");
    await copyFile(file, draft);
    await chmod(draft, 0o600);
    progress.show(() => "checking the copy");
    label = unlabelBackup(draft);
    await makeDataFolder(folder, label?.accountId);
    await sync(draft);
    await rename(draft, database);
    await sync(folder);
  } catch (error) {
    for (const name of await readdir(folder)) await rm(join(folder, name), { force: true });
    if (made !== undefined) await rmdir(folder);
    throw error;
  }
  await using engine = await openOfflineData(folder);
  const queues = await recountAll(engine, ({ name }, done, total) => {
    progress.show(() => `reading every message: queue ${done + 1} of ${total}, ${name}`);
  });
  return { folder, label, queues };
}

async function assertEmpty(folder: string): Promise<void> {
  const found = await readdir(folder).catch((error: unknown) => {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
    throw error;
  });
  if (found.length === 0) return;
  throw new CommandFailure(`${folder} is not empty. Restore into a new folder: --data <folder>. Nothing was changed.`);
}
