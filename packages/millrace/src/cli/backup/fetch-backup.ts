// Has a running server make a backup, and fetches it.

import { open } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { backupView } from "../../contract/rest/index.ts";
import type { BackupView } from "../../contract/rest/index.ts";
import { CommandFailure } from "../command-failure.ts";
import { bytesDone } from "../progress.ts";
import type { Progress } from "../progress.ts";
import type { RestClient } from "../rest-client.ts";

const pollMs = 100;

/** Writes the server's backup to a file that must not exist yet. */
export async function fetchBackup(client: RestClient, file: string, progress: Progress): Promise<void> {
  const begun = await client.call("POST", "/millrace/backup", backupView);
  const path = `/millrace/backup/${begun.backup_id}`;
  try {
    await untilReady(client, path, begun, progress);
    await download(client, `${path}/file`, file, progress);
  } finally {
    // What the server keeps is deleted in any case, and by itself where it cannot be told to.
    await client.call("DELETE", path, z.null()).catch(() => undefined);
  }
}

async function untilReady(client: RestClient, path: string, begun: BackupView, progress: Progress): Promise<void> {
  for (let backup = begun; backup.state !== "ready"; backup = await client.call("GET", path, backupView)) {
    if (backup.state === "failed") throw new CommandFailure(`the server could not make it: ${backup.error ?? ""}`);
    const { copied_bytes: copied, total_bytes: total } = backup;
    progress.show(() => `the server copies: ${bytesDone(copied, total)}`);
    await sleep(pollMs);
  }
}

async function download(client: RestClient, path: string, file: string, progress: Progress): Promise<void> {
  const { bytes: total, chunks } = await client.download(path);
  await using handle = await open(file, "wx", 0o600);
  let done = 0;
  try {
    for await (const chunk of chunks) {
      await handle.write(chunk);
      done += chunk.length;
      progress.show(() => `fetching: ${bytesDone(done, total)}`);
    }
  } catch (cause) {
    throw new CommandFailure(`the server ended the transfer after ${bytesDone(done, total)}`, { cause });
  }
  if (done !== total) throw new CommandFailure(`the server ended the transfer after ${bytesDone(done, total)}`);
}
