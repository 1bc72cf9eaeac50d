// A PostgreSQL server for the peers that keep their messages in one: everything synced before a commit is answered.

import { execFileSync, spawnSync } from "node:child_process";
import { chown, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { findProgram, freePort, letPass, newestFolder, startProgram, unprivileged } from "./programs.ts";
import type { Program } from "./programs.ts";

export interface Postgres extends Program {
  readonly url: string;
}

const triesMs = 50;
const mostTries = 600;

function binaries(): string | undefined {
  const folder = newestFolder("/usr/lib/postgresql");
  const initdb = findProgram("initdb", folder === undefined ? [] : [join(folder, "bin")]);
  return initdb?.slice(0, -"/initdb".length);
}

export function postgresMissing(): string | undefined {
  return binaries() === undefined ? "benchmarks/peers/install.sh postgres" : undefined;
}

export async function startPostgres(folder: string): Promise<Postgres> {
  const bin = binaries();
  if (bin === undefined) throw new Error("PostgreSQL is not installed");
  const user = unprivileged("postgres");
  const home = join(folder, "postgres");
  await mkdir(home, { recursive: true, mode: 0o700 });
  if (user !== undefined) {
    await letPass(folder);
    await chown(home, user.uid, user.gid);
  }
  const data = join(home, "data");
  const initdb = ["-D", data, "-U", "bench", "--auth=trust", "--encoding=UTF8", "--locale=C"];
  execFileSync(join(bin, "initdb"), initdb, { cwd: home, stdio: "ignore", ...user });
  const port = await freePort();
  const settings = {
    port,
    listen_addresses: "127.0.0.1",
    unix_socket_directories: home,
    fsync: "on",
    synchronous_commit: "on",
    shared_buffers: "512MB",
    max_wal_size: "4GB",
    max_connections: 200,
  };
  const program = await startProgram({
    binary: join(bin, "postgres"),
    args: ["-D", data, ...Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`])],
    port,
    folder: home,
    user,
    stopSignal: "SIGINT", // a fast shutdown
  });
  await answering(join(bin, "pg_isready"), port);
  return {
    pid: program.pid,
    url: `postgres://bench@127.0.0.1:${port}/postgres`,
    [Symbol.asyncDispose]: async () => await program[Symbol.asyncDispose](),
  };
}

/** The port is open before the server takes queries. */
async function answering(isReady: string, port: number): Promise<void> {
  for (let tries = 0; spawnSync(isReady, ["-h", "127.0.0.1", "-p", `${port}`]).status !== 0; tries += 1) {
    if (tries === mostTries) throw new Error("PostgreSQL does not take queries");
    await delay(triesMs);
  }
}
