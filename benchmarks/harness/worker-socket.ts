// Where a hosted Worker's workerd listens: the way to its fetch handler without a router in between.

import { readlink } from "node:fs/promises";
import { join } from "node:path";

/** The unix socket of the process; Linux only, where a process's working folder can be looked up. */
export async function workerSocket(pid: number | undefined): Promise<string> {
  if (pid === undefined) throw new Error("the Worker does not run");
  return join(await readlink(`/proc/${pid}/cwd`), "http");
}
