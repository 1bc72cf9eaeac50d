// Waits until the disk has done what was left behind: the kernel gives blocks of deleted files back to it for many seconds after, and
// syncs take hundreds of milliseconds meanwhile (2.5 GB deleted, ext4 with `discard`: up to 680 ms, 14 s later still 400).

import { closeSync, fdatasyncSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

const page = Buffer.alloc(4_096, "x");
const everyMs = 5;
/** A sync that takes longer says that the disk is busy. */
const slowMs = 20;
/** It is calm when none of them did for so long. */
const calmMs = 2_000;
/** Of a disk that is never calm, no more is expected. */
const patienceMs = 60_000;

/** Answers how long it took, in milliseconds, and whether it is calm now. The folder gets a file, which goes again. */
export async function calmDisk(folder: string): Promise<{ readonly ms: number; readonly isCalm: boolean }> {
  const path = join(folder, "calm");
  const file = openSync(path, "w", 0o600);
  try {
    const startedAt = performance.now();
    let calmSince = startedAt;
    let now = startedAt;
    while (now - calmSince < calmMs && now - startedAt < patienceMs) {
      await delay(everyMs);
      const before = performance.now();
      writeSync(file, page, 0, page.length, 0);
      fdatasyncSync(file);
      now = performance.now();
      if (now - before > slowMs) calmSince = now;
    }
    return { ms: now - startedAt, isCalm: now - calmSince >= calmMs };
  } finally {
    closeSync(file);
    rmSync(path, { force: true });
  }
}
