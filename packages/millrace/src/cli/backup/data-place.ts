// What is where a server's data ought to be, when its data is not: a backup, or what is left of data that was there.

import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { CommandFailure } from "../command-failure.ts";

/** Files looked into at most, to see whether one is a backup. */
const mostFiles = 100;

/** Throws when a server would begin anew though somebody meant a backup: given a file, or a folder that holds nothing but that. */
export async function assertNoBackupThere(path: string): Promise<void> {
  const found = await stat(path).catch(() => undefined); // whoever uses the folder says what is wrong with it
  if (found?.isFile() === true) {
    throw new CommandFailure(
      `${path} is a file, and --data names the folder of a server's data. ` +
        ((await isDatabase(path))
          ? `If it is a backup, make a folder of it: millrace restore ${path} --data <folder>.`
          : "Name a folder."),
    );
  }
  if (found?.isDirectory() !== true) return;
  const names = await readdir(path);
  if (names.some((name) => name.startsWith("messages.db") || serverFiles.has(name))) return;
  for (const name of names.slice(0, mostFiles)) {
    if (!(await isDatabase(join(path, name)))) continue;
    throw new CommandFailure(
      `${path} is no server's data folder, but holds a backup, ${name}. ` +
        `Make a folder of it: millrace restore ${join(path, name)} --data <folder>. To begin anew, name another folder.`,
    );
  }
}

/** Whether a server has been on a folder in which there is no database now. */
export async function isLeftOfData(folder: string): Promise<boolean> {
  const names = await readdir(folder).catch(() => []);
  return names.some((name) => serverFiles.has(name) || name.startsWith("messages.db"));
}

/** What a server writes into its data folder before or after the database. */
const serverFiles: ReadonlySet<string> = new Set(["account_id", "token", "promised"]);

async function isDatabase(file: string): Promise<boolean> {
  const { isMillraceDatabase } = await import("../../engines/sqlite/index.ts");
  return isMillraceDatabase(file);
}
