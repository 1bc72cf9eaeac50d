// Who has a file locked, where the operating system says so (Linux): for words only.

import { readFileSync, statSync } from "node:fs";

/** The process id, never this process's own; `undefined`: not known. */
export function lockHolder(path: string): number | undefined {
  try {
    const inode = String(statSync(path).ino);
    for (const line of readFileSync("/proc/locks", "utf8").split("\n")) {
      // 1: POSIX  ADVISORY  WRITE 1234 08:01:5678 0 EOF
      const [, , , , pid = "", file = ""] = line.trim().split(/\s+/);
      if (file.split(":").at(-1) === inode && Number(pid) > 0 && Number(pid) !== process.pid) return Number(pid);
    }
    return undefined;
  } catch {
    return undefined; // another system
  }
}
