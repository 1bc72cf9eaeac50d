// What a server wrote and holds in memory, from Linux's own books; elsewhere nothing is known and nothing is said.

import { readFileSync } from "node:fs";
import { residentMb } from "./cpu-time.ts";

interface Written {
  /** Bytes given to the disk, or to be given to it. */
  readonly bytes: number;
  /** Calls that write: to files, to sockets, and to wake another thread. */
  readonly calls: number;
}

function writtenBy(pid: number): Written | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/io`, "utf8");
    const number = (name: string): number => Number(new RegExp(`^${name}: (\\d+)$`, "m").exec(text)?.[1]);
    return { bytes: number("write_bytes"), calls: number("syscw") };
  } catch {
    return undefined;
  }
}

/** Begins to count; the result answers what was written since for each of `count` messages, and the memory there is now. */
export function startServerCount(pid: number): (count: number) => Record<string, number> {
  const before = writtenBy(pid);
  return (count) => {
    const now = writtenBy(pid);
    const memory = residentMb(pid);
    return {
      ...(before !== undefined &&
        now !== undefined && {
          "bytes to the disk for a message": (now.bytes - before.bytes) / Math.max(1, count),
          "write calls for a message": (now.calls - before.calls) / Math.max(1, count),
        }),
      ...(memory !== undefined && { "memory, MB": memory }),
    };
  };
}
