// Programs of other systems, started on ports and folders of their own and stopped again.

import { execFileSync, spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, openSync, readdirSync } from "node:fs";
import { chmod, readFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

export interface Program extends AsyncDisposable {
  readonly pid: number;
}

export interface ProgramPlan {
  readonly binary: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** It is ready when this port is open. */
  readonly port: number;
  /** Gets the log. */
  readonly folder: string;
  readonly user?: { readonly uid: number; readonly gid: number } | undefined;
  readonly stopSignal?: NodeJS.Signals;
}

const readyWithinMs = 60_000;
const stopWithinMs = 20_000;

/** The program's path; `undefined` when it is not installed. */
export function findProgram(name: string, folders: readonly string[] = []): string | undefined {
  const path = [...folders, ...(process.env["PATH"] ?? "").split(":"), "/usr/sbin", "/usr/local/sbin"];
  return path.map((folder) => join(folder, name)).find((file) => existsSync(file));
}

/** The newest of folders that differ in a version, such as `/usr/lib/postgresql/*`. */
export function newestFolder(parent: string, prefix = ""): string | undefined {
  if (!existsSync(parent)) return undefined;
  const versions = readdirSync(parent).filter((name) => name.startsWith(prefix));
  const [newest] = versions.toSorted((a, b) => b.localeCompare(a, "en", { numeric: true }));
  return newest === undefined ? undefined : join(parent, newest);
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise<void>((resolve) => void server.close(() => resolve()));
  return port;
}

/** Some programs refuse to run as root: then an account of the system that owns nothing else of the run. */
export function unprivileged(name: string): ProgramPlan["user"] {
  if (process.getuid?.() !== 0) return undefined;
  const id = (kind: "-u" | "-g"): number => Number(execFileSync("id", [kind, name], { encoding: "utf8" }));
  return { uid: id("-u"), gid: id("-g") };
}

/** Lets any account pass through a folder and those above it, which were made for this run only. */
export async function letPass(folder: string): Promise<void> {
  for (let each = folder, depth = 0; depth < 3; each = dirname(each), depth += 1) {
    try {
      await chmod(each, 0o711);
    } catch {
      return; // the first that is not ours
    }
  }
}

export async function startProgram(plan: ProgramPlan): Promise<Program> {
  const { binary, args, env = {}, port, folder, user, stopSignal = "SIGTERM" } = plan;
  const log = join(folder, "log.txt");
  const output = openSync(log, "a");
  const child = spawn(binary, args, {
    cwd: folder,
    env: { ...process.env, ...env },
    stdio: ["ignore", output, output],
    ...user,
  });
  const failed = new Promise<never>((_resolve, reject) => void child.once("error", reject));
  failed.catch(() => undefined); // awaited just below, while it starts
  await Promise.race([opened(child, port, log), failed]);
  if (child.pid === undefined) throw new Error(`${binary} has no process`);
  return {
    pid: child.pid,
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const exited = once(child, "exit");
      child.kill(stopSignal);
      const timer = setTimeout(() => void child.kill("SIGKILL"), stopWithinMs);
      await exited;
      clearTimeout(timer);
    },
  };
}

async function opened(child: ChildProcess, port: number, log: string): Promise<void> {
  const deadline = performance.now() + readyWithinMs;
  while (!(await isOpen(port))) {
    if (child.exitCode !== null || performance.now() > deadline) {
      child.kill("SIGKILL");
      throw new Error(
        `${child.spawnfile} does not listen on port ${port}:\n${(await readFile(log, "utf8")).slice(-2_000)}`,
      );
    }
    await delay(50);
  }
}

async function isOpen(port: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
