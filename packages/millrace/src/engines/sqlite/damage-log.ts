// Damage that was found, in words, in a file of the data folder: what the log says once, `millrace doctor` says until the file is
// deleted.

import { appendFileSync } from "node:fs";
import { join } from "node:path";
import type { Salvage } from "./salvage.ts";
import type { DamagedMessages, Loss } from "./store.ts";

export function damageLogPath(folder: string): string {
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
    `messages that were acknowledged last may be delivered again. Check the disk. What is missing may be in the newest ` +
    `backup: restore it into a folder of its own, and export from there. Nothing is wrong if an older copy of the data was ` +
    `put there on purpose.`
  );
}

/** What became of a damaged database. `kept`: where it is now. */
export function damagedWords(reason: string, { queues, lost }: Salvage, kept: string): string {
  const messages = queues.reduce((sum, queue) => sum + queue.messages.length, 0) - lost.setAside;
  const found = [
    ...(lost.messages > 0 ? [`${lost.messages} messages are lost`] : []),
    ...(lost.setAside > 0 ? [`${lost.setAside} messages are damaged and set aside: nobody is given them`] : []),
    ...(lost.states > 0
      ? [
          "some of what was stored about deliveries is lost: messages that were acknowledged or delayed may be delivered again",
        ]
      : []),
    ...(lost.settings === undefined ? ["settings (queues, consumers, Workers, tokens) may be lost"] : []),
    ...((lost.settings ?? 0) > 0 ? [`${lost.settings} settings (queues, consumers, Workers, tokens) are lost`] : []),
    ...(lost.auditEntries > 0 ? ["entries of the audit log are lost"] : []),
    ...(lost.files > 0 ? ["files of Workers are lost: deploy those that do not start"] : []),
  ];
  return (
    `The database was damaged (${reason}). A new one was made of all that could be read: ${messages} messages. ` +
    `${found.length === 0 ? "Nothing is lost" : found.join("; ")}. The damaged files are kept as ${kept}. ` +
    `Check the disk. What is lost here may be in the newest backup: restore it into a folder of its own, and export from there.`
  );
}

const positionsNamed = 20;

export function setAsideWords({ queue, name, positions }: DamagedMessages): string {
  const named = positions.slice(0, positionsNamed).join(", ") + (positions.length > positionsNamed ? ", …" : "");
  const which = name === undefined ? `queue ${queue}` : `queue ${name}`;
  const [what, them] = positions.length === 1 ? ["1 message", "it"] : [`${positions.length} messages`, "them"];
  return (
    `${what} of ${which} on disk ${positions.length === 1 ? "is" : "are"} not what was stored, and set aside: nobody is given ` +
    `${them}, and all others are delivered as before (position in the log: ${named}). Check the disk. The newest backup may ` +
    `have ${them}; what is set aside counts as backlog until the queue is purged.`
  );
}
