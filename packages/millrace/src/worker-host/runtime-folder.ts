// Where sockets, configurations and modules of running Workers live: a short private path (unix sockets allow about 100 bytes),
// one for each server, gone when the server is. Beside the data, a record of it, so that a server that was killed leaves
// nothing behind for longer than until the next start.

import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import type { Logger } from "../core/index.ts";
import { identifyProcess, isAlive } from "./process-identity.ts";
import type { ProcessIdentity } from "./process-identity.ts";

const prefix = "millrace-";
/** The shortest limit around is macOS's 104, with the closing zero; `/9999/dispatch` comes after the folder. */
const longestPath = 80;
const processRecord = "process.json";

interface ServerRecord extends ProcessIdentity {
  readonly folder: string;
}

export class RuntimeFolder implements AsyncDisposable {
  readonly path: string;
  readonly #record: string;
  #next = 1;

  private constructor(path: string, record: string) {
    this.path = path;
    this.#record = record;
  }

  /** Removes what dead servers recorded in `records` left behind, processes first; then makes this server's folder. */
  static async open(records: string, logger: Logger): Promise<RuntimeFolder> {
    await mkdir(records, { recursive: true, mode: 0o700 });
    for (const name of await readdir(records)) {
      if (name.startsWith("runtime-") && name.endsWith(".json")) await removeIfDead(join(records, name), logger);
    }
    const path = await makeFolder();
    const record = join(records, `runtime-${process.pid}.json`);
    const folder = new RuntimeFolder(path, record);
    const self = await identifyProcess(process.pid);
    if (self !== undefined) await writeFile(record, JSON.stringify({ ...self, folder: path }), { mode: 0o600 });
    return folder;
  }

  /** A new, empty, private folder for one process. */
  async newProcessFolder(): Promise<string> {
    const path = join(this.path, String(this.#next++));
    await mkdir(path, { mode: 0o700 });
    return path;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.path, { recursive: true, force: true });
    await rm(this.#record, { force: true });
  }
}

/** Notes which process uses a process folder. */
export async function recordProcess(folder: string, pid: number): Promise<void> {
  const identity = await identifyProcess(pid);
  if (identity !== undefined) await writeFile(join(folder, processRecord), JSON.stringify(identity), { mode: 0o600 });
}

async function makeFolder(): Promise<string> {
  const candidates = [process.env["XDG_RUNTIME_DIR"], tmpdir(), "/tmp"];
  for (const parent of candidates) {
    if (parent === undefined || parent === "" || join(parent, `${prefix}XXXXXX`).length > longestPath) continue;
    try {
      return await mkdtemp(join(parent, prefix)); // 0700
    } catch {
      // Not ours to write: the next one.
    }
  }
  throw new Error(`No folder for sockets: ${candidates.filter(Boolean).join(", ")} cannot be written or are too long`);
}

async function removeIfDead(record: string, logger: Logger): Promise<void> {
  const server = await readRecord<ServerRecord>(record);
  if (server !== undefined && (await isAlive(server))) return;
  // The name is checked because a record is only a file: nothing else is ever removed.
  if (server !== undefined && basename(server.folder).startsWith(prefix) && (await isOwnFolder(server.folder))) {
    for (const name of await readdir(server.folder)) {
      const left = await readRecord<ProcessIdentity>(join(server.folder, name, processRecord));
      if (left === undefined || !(await isAlive(left))) continue;
      logger.warn("worker.leftover", { pid: left.pid });
      try {
        process.kill(left.pid, "SIGKILL");
      } catch {
        // It ended meanwhile.
      }
    }
    await rm(server.folder, { recursive: true, force: true });
  }
  await rm(record, { force: true });
}

async function readRecord<T>(path: string): Promise<T | undefined> {
  try {
    return JSON.parse(await readFile(path, "utf8")) as T;
  } catch {
    return undefined; // absent, or cut short by the crash it is there for
  }
}

async function isOwnFolder(path: string): Promise<boolean> {
  try {
    const info = await stat(path);
    return info.isDirectory() && info.uid === process.getuid?.();
  } catch {
    return false;
  }
}
