// SQLite engines in folders of their own.

import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Clock, Logger, StorageEngine } from "../../src/core/index.ts";
import { databasePath } from "../../src/engines/sqlite/database.ts";
import { openSqliteEngine } from "../../src/engines/sqlite/index.ts";
import type { SqliteEngineOptions } from "../../src/engines/sqlite/index.ts";
import type { EngineUnderTest, OpenedEngine } from "./harness.ts";

export const silent: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

export async function temporaryFolder(): Promise<string> {
  return await mkdtemp(join(tmpdir(), "millrace-engine-"));
}

/** For other layers' tests that need an engine which stores; its folder goes with it. */
export async function openTemporarySqlite(clock: Clock): Promise<StorageEngine> {
  const folder = await temporaryFolder();
  const engine = await openSqliteEngine({ folder, clock, logger: silent });
  const close = async (): Promise<void> => {
    await engine[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  };
  return new Proxy(engine, {
    get: (target, name) => {
      if (name === Symbol.asyncDispose) return close;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

/** `whileClosed` happens to the folder before it is opened again. */
export function sqliteUnderTest(
  name: string,
  tuning: NonNullable<SqliteEngineOptions["tuning"]>,
  whileClosed: (folder: string) => Promise<void> = async () => {},
): EngineUnderTest {
  const open = async (folder: string, clock: Clock): Promise<OpenedEngine> => {
    const engine = await openSqliteEngine({ folder, clock, logger: silent, tuning });
    const destroy = async (): Promise<void> => await rm(folder, { recursive: true, force: true });
    return {
      engine,
      destroy,
      reopen: async () => {
        await engine[Symbol.asyncDispose]();
        await whileClosed(folder);
        return await open(folder, clock);
      },
      crash: async () => {
        const copy = await temporaryFolder();
        copyAsCrashed(databasePath(folder), databasePath(copy));
        await engine[Symbol.asyncDispose]();
        await destroy();
        return await open(copy, clock);
      },
    };
  };
  return { name, durable: true, create: async (clock) => await open(await temporaryFolder(), clock) };
}

/** Copies a database that is in use. Nobody writes to it but the engine tidying up, so a log that stayed the same is whole. */
function copyAsCrashed(from: string, to: string): void {
  let log: Buffer;
  do {
    log = readFileSync(`${from}-wal`);
    copyFileSync(from, to);
  } while (!readFileSync(`${from}-wal`).equals(log));
  writeFileSync(`${to}-wal`, log);
}
