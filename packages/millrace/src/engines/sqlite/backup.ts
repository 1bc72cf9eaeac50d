// Writes a backup: the store thread copies, and this side watches over it and brings it to disk.

import { open, rm } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { MillraceError } from "../../core/index.ts";
import type { BackupProgress } from "../../core/index.ts";
import { pageBytes } from "./database.ts";
import type { CopyState, RequestOf } from "./protocol.ts";
import type { ThreadLink } from "./thread-link.ts";

type StoreLink = Pick<ThreadLink, "ask">;
type Proceed = (progress: BackupProgress) => boolean;

/** Between two looks at how far it is. */
const pollMs = 50;

/** See `StorageEngine.backup`. */
export async function writeBackup(link: StoreLink, file: string, proceed: Proceed): Promise<boolean> {
  if (!proceed({ copiedBytes: 0, totalBytes: 0 })) return false;
  // Made here, so that it is private, and never one that was there before.
  await using handle = await open(file, "wx", 0o600);
  let isWhole = false;
  try {
    isWhole = await copy(link, file, handle, proceed);
    return isWhole;
  } finally {
    if (!isWhole) for (const suffix of ["", "-journal"]) await rm(file + suffix, { force: true });
  }
}

async function copy(link: StoreLink, file: string, handle: FileHandle, proceed: Proceed): Promise<boolean> {
  await ask(link, { op: "beginCopy", target: file });
  try {
    for (;;) {
      const state = await stateOf(link);
      if (state.kind === "done") break;
      if (state.kind === "failed") throw new MillraceError(state.failure.code, state.failure.detail);
      const { copiedPages, totalPages } = state;
      if (!proceed({ copiedBytes: copiedPages * pageBytes, totalBytes: totalPages * pageBytes })) {
        await end(link);
        return false;
      }
      await sleep(pollMs);
      // The copy's last step waits until all of it is on disk, and the store with it. What is there already goes first, from here:
      // at the end of 1.2 GB the store waited 23 ms instead of 780 ms.
      await handle.datasync();
    }
    await handle.sync();
    return true;
  } catch (error) {
    await end(link).catch(() => undefined); // the store is gone, and the copy with it
    throw error;
  }
}

/** Ends a copy that is under way. */
async function end(link: StoreLink): Promise<void> {
  await ask(link, { op: "endCopy" });
  while ((await stateOf(link)).kind === "copying") await sleep(pollMs);
}

async function stateOf(link: StoreLink): Promise<CopyState> {
  return (await ask(link, { op: "copyState" })) as CopyState;
}

async function ask(link: StoreLink, request: RequestOf<"beginCopy" | "copyState" | "endCopy">): Promise<unknown> {
  return (await link.ask(0, () => request)).result;
}
