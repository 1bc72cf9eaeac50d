// Opens the one database file: durable, locked for this process, with bounded memory.

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { MillraceError } from "../../core/index.ts";
import { migrate } from "./migrations.ts";
import { sqliteErrorCode } from "./sql.ts";

/** Of all databases made here. */
export const pageBytes = 4_096;
/** Pages kept in memory, whatever the size of the file. */
const cacheKiB = 16_384;

export function databasePath(folder: string): string {
  return join(folder, "messages.db");
}

/**
 * Makes the folder (0700) and the file where there are none, and brings the schema up to date.
 * Throws `DATA_LOCKED`, `DATA_DAMAGED`, `DATA_TOO_NEW`, `STORAGE_FULL`, `UNAVAILABLE`.
 */
export function openDatabase(folder: string): DatabaseSync {
  let database: DatabaseSync | undefined;
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    database = new DatabaseSync(databasePath(folder), { timeout: 0 });
    // The page size counts only before the file has content. Exclusive locking comes before WAL: then the index of the WAL lives on
    // the heap instead of in shared memory, and the operating system's lock refuses a second server and goes with the process,
    // however it ends.
    database.exec(`
      PRAGMA page_size = ${pageBytes};
      PRAGMA locking_mode = EXCLUSIVE;
      PRAGMA journal_mode = WAL;
      PRAGMA synchronous = FULL;
      PRAGMA wal_autocheckpoint = 0;
      PRAGMA journal_size_limit = 67108864;
      PRAGMA cache_size = -${cacheKiB};
      PRAGMA temp_store = MEMORY;
      PRAGMA trusted_schema = OFF;
      PRAGMA foreign_keys = OFF;
    `);
    const mode = database.prepare("PRAGMA journal_mode").get()?.["journal_mode"];
    if (mode !== "wal")
      throw new MillraceError("UNAVAILABLE", `The data folder does not support write-ahead logging (${String(mode)})`);
    // Takes the lock now rather than at the first write.
    database.exec("BEGIN EXCLUSIVE; COMMIT");
    migrate(database);
    return database;
  } catch (error) {
    database?.close();
    throw openingError(error, folder);
  }
}

function openingError(error: unknown, folder: string): Error {
  if (error instanceof MillraceError) return error;
  const code = sqliteErrorCode(error);
  const options = { cause: error, fields: { folder } };
  switch (code) {
    case "DATA_LOCKED":
      return new MillraceError("DATA_LOCKED", `Another server uses the data in ${folder}`, options);
    case "DATA_DAMAGED":
      return new MillraceError("DATA_DAMAGED", `${databasePath(folder)} is not a readable database`, options);
    case undefined:
      return new MillraceError("UNAVAILABLE", `The data folder ${folder} cannot be used: ${String(error)}`, options);
    default:
      return new MillraceError(code, `${databasePath(folder)} cannot be opened: ${String(error)}`, options);
  }
}
