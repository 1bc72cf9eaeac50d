// Writes a file again, byte for byte, and syncs it. After a sync that failed, the kernel takes for written what it could not write:
// later syncs succeed without it. What is written again is synced again.

import { closeSync, fdatasyncSync, openSync, readSync, writeSync } from "node:fs";

const chunkBytes = 1_048_576;

/** Throws the file system's error, with everything still to be done. */
export function writeAgain(path: string): void {
  const file = openSync(path, "r+");
  try {
    const chunk = Buffer.allocUnsafe(chunkBytes);
    let at = 0;
    for (
      let read = readSync(file, chunk, 0, chunkBytes, at);
      read > 0;
      read = readSync(file, chunk, 0, chunkBytes, at)
    ) {
      for (let written = 0; written < read;) written += writeSync(file, chunk, written, read - written, at + written);
      at += read;
    }
    fdatasyncSync(file);
  } finally {
    closeSync(file);
  }
}
