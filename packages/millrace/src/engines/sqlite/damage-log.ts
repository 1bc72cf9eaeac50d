// Damage that was found, in words, in a file of the data folder: what the log says once, `millrace doctor` says until the file is
// deleted.

import { appendFileSync } from "node:fs";
import { join } from "node:path";
import type { Loss } from "./store.ts";

function damageLogPath(folder: string): string {
  return join(folder, "damage.log");
}

/** Adds a line; answers the file. Never throws: on a disk that fails the log has to do. */
export function noteDamage(folder: string, words: string): string {
  const file = damageLogPath(folder);
  try {
    appendFileSync(file, `${new Date().toISOString()} ${words}\n`, { mode: 0o600 });
  } catch {
    // The log has it.
  }
  return file;
}

export function lossWords({ rows, revisions }: Loss): string {
  const missing = [
    ...(rows > 0 ? [`the last ${rows} entries of the message log`] : []),
    ...(revisions > 0 ? [`the last ${revisions} changes of settings`] : []),
  ].join(" and ");
  return (
    `The disk has lost ${missing}, which had been confirmed: messages that were accepted last may be missing, and ` +
    `messages that were acknowledged last may be delivered again. Check the disk; nothing is wrong if an older copy of ` +
    `the data was put there on purpose.`
  );
}
