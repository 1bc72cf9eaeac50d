// SQLite engines in folders of their own.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Clock, Logger } from "../../src/core/index.ts";
import { openSqliteEngine } from "../../src/engines/sqlite/index.ts";
import type { SqliteEngineOptions } from "../../src/engines/sqlite/index.ts";
import type { EngineUnderTest, OpenedEngine } from "./harness.ts";

export const silent: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

export async function temporaryFolder(): Promise<string> {
  return await mkdtemp(join(tmpdir(), "millrace-engine-"));
}

/** `whileClosed` happens to the folder before it is opened again. */
export function sqliteUnderTest(
  name: string,
  tuning: NonNullable<SqliteEngineOptions["tuning"]>,
  whileClosed: (folder: string) => Promise<void> = async () => {},
): EngineUnderTest {
  const open = async (folder: string, clock: Clock): Promise<OpenedEngine> => ({
    engine: await openSqliteEngine({ folder, clock, logger: silent, tuning }),
    reopen: async () => {
      await whileClosed(folder);
      return await open(folder, clock);
    },
    destroy: async () => await rm(folder, { recursive: true, force: true }),
  });
  return { name, durable: true, create: async (clock) => await open(await temporaryFolder(), clock) };
}
