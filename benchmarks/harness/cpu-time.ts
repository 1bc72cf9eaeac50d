// Processor time that processes have used, from Linux's own books; elsewhere nothing is known and nothing is said.

import { readFileSync } from "node:fs";

/** Of the kernel's statistics: a hundredth of a second on every Linux that Node runs on. */
const tickMs = 10;

/** Of all threads of a process, in milliseconds; `undefined` where that cannot be known. */
function cpuMs(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The name in parentheses may hold blanks.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return (Number(fields[11]) + Number(fields[12])) * tickMs;
  } catch {
    return undefined;
  }
}

/** Resident memory of a process, in MB; `undefined` where that cannot be known. */
export function residentMb(pid: number): number | undefined {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1_024;
  } catch {
    return undefined;
  }
}

/** Begins to count; the result answers what each process used since, for each of `count` units of work, in microseconds. */
export function startCpuCount(
  pids: Readonly<Record<string, number | undefined>>,
): (count: number) => Record<string, number> {
  const before = Object.entries(pids).map(([name, pid]) => ({
    name,
    pid,
    ms: pid === undefined ? undefined : cpuMs(pid),
  }));
  return (count) => {
    const used: Record<string, number> = {};
    for (const { name, pid, ms } of before) {
      const now = pid === undefined ? undefined : cpuMs(pid);
      if (ms !== undefined && now !== undefined) used[name] = ((now - ms) * 1_000) / Math.max(1, count);
    }
    return used;
  };
}
