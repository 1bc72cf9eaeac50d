// What running processes ask of the kernel, in order, by strace (Debian has it): every sync, and every answer over HTTP.

import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { join } from "node:path";

export type SystemCall =
  /** A sync that succeeded, when it ended. `file`: its path. */
  | { readonly kind: "synced"; readonly file: string }
  /** The first bytes of an answer with status 200, when they were handed to the kernel. */
  | { readonly kind: "answered" };

export interface SystemCallTrace {
  /** What was asked since the trace began, over all processes and threads. Ends the trace. */
  end(): Promise<readonly SystemCall[]>;
}

/** Why there can be no trace; `undefined`: there can. Some systems let nobody but root watch a process that runs already. */
export async function whyNoTrace(): Promise<string | undefined> {
  try {
    await ended(await watch([process.pid], "/dev/null"));
    return undefined;
  } catch (error) {
    const isMissing = error instanceof Error && "code" in error && error.code === "ENOENT";
    return isMissing ? "strace is not installed" : `strace may not watch processes here: ${String(error)}`;
  }
}

/** Watches processes with all their threads. The folder gets a file. */
export async function traceSystemCalls(pids: readonly number[], folder: string): Promise<SystemCallTrace> {
  const output = join(folder, "system-calls");
  const strace = await watch(pids, output);
  return {
    end: async () => {
      await ended(strace);
      return systemCallsOf(await readFile(output, "utf8"));
    },
  };
}

/** Resolves once it watches. Throws why it does not. */
async function watch(pids: readonly number[], output: string): Promise<ChildProcess> {
  const calls = "trace=fsync,fdatasync,write,writev,sendmsg,sendto";
  const watched = pids.flatMap((pid) => ["-p", String(pid)]);
  const args = ["-f", "-y", "-s", "20", "-e", calls, "-o", output, ...watched];
  const strace = spawn("strace", args, { stdio: ["ignore", "ignore", "pipe"] });
  return await new Promise((resolve, reject) => {
    let said = "";
    strace.stderr.setEncoding("utf8").on("data", (text: string) => {
      said += text;
      if (said.split(/Process \d+ attached/).length > pids.length) resolve(strace);
    });
    strace.once("error", reject);
    strace.once("exit", () => reject(new Error(said.trim())));
  });
}

async function ended(strace: ChildProcess): Promise<void> {
  const exited = once(strace, "exit");
  strace.kill("SIGINT");
  await exited;
}

/** A call that another thread's interrupts stands in two lines: what it was asked, and later what came of it. */
function systemCallsOf(text: string): SystemCall[] {
  const calls: SystemCall[] = [];
  const syncing = new Map<string, string>();
  for (const line of text.split("\n")) {
    const [, thread = "", rest = ""] = /^(\d+) +(.*)$/.exec(line) ?? [];
    const [, file] = /^f(?:data)?sync\(\d+<([^>]*)>/.exec(rest) ?? [];
    if (file !== undefined) syncing.set(thread, file);
    if (file !== undefined || /^<\.\.\. f(?:data)?sync resumed>/.test(rest)) {
      const synced = syncing.get(thread);
      if (synced !== undefined && rest.endsWith(" = 0")) calls.push({ kind: "synced", file: synced });
    } else if (/^(?:write|writev|sendmsg|sendto)\(\d+<(?:socket|TCP|UNIX)[^"]*"HTTP\/1\.1 200/.test(rest)) {
      calls.push({ kind: "answered" });
    }
  }
  return calls;
}
