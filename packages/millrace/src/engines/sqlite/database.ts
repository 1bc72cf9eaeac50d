// Opens the one database file: durable, locked for this process, with bounded memory.

import { accessSync, closeSync, constants, existsSync, mkdirSync, openSync, readSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { MillraceError } from "../../core/index.ts";
import { lockHolder } from "./lock-holder.ts";
import { migrate } from "./migrations.ts";
import { sqliteErrorCode } from "./sql.ts";

/** "Mill" in ASCII: set when the schema is made (see migrations.ts). */
export const applicationId = 1_298_754_668;

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
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    assertHeader(databasePath(folder));
    return openDatabaseFile(databasePath(folder));
  } catch (error) {
    throw openingError(error, folder);
  }
}

/** The same for a file of any name. Throws what SQLite throws. */
export function openDatabaseFile(file: string): DatabaseSync {
  const database = new DatabaseSync(file, { timeout: 0 });
  try {
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
    database.close();
    throw error;
  }
}

/**
 * Bytes of a database's first page that are the same in all of ours (https://sqlite.org/fileformat2.html, 2026-10) and that SQLite
 * takes another way when they are not: it would open the file for reading only, say. Throws `DATA_DAMAGED`.
 */
function assertHeader(path: string): void {
  if (existsSync(`${path}-journal`)) return; // making it was interrupted, and SQLite goes back to before
  const header = Buffer.alloc(24);
  let file: number;
  try {
    file = openSync(path, "r");
  } catch {
    return; // there is none, or SQLite says why
  }
  try {
    if (readSync(file, header, 0, header.length, 0) < header.length) return;
  } finally {
    closeSync(file);
  }
  const [writes = 0, reads = 0, ...rest] = header.subarray(18);
  const isOurs = header.readUInt16BE(16) === pageBytes && [1, 2].includes(writes) && [1, 2].includes(reads);
  if (isOurs && [0, 64, 32, 32].every((byte, at) => rest[at] === byte)) return;
  throw new MillraceError("DATA_DAMAGED", `${path} is not a readable database: its first bytes are others`);
}

/** What went wrong with the data of a folder, in words. */
export function openingError(error: unknown, folder: string): Error {
  if (error instanceof MillraceError) return error;
  const code = sqliteErrorCode(error);
  const options = { cause: error, fields: { folder } };
  if (code === undefined || code === "UNAVAILABLE") {
    const path = [folder, databasePath(folder)].find((each) => whyUnwritable(each) !== undefined);
    if (path !== undefined)
      return new MillraceError("DATA_UNWRITABLE", `${path} cannot be written: ${String(whyUnwritable(path))}`, options);
  }
  switch (code) {
    case "DATA_LOCKED":
      return new MillraceError("DATA_LOCKED", `The data folder ${folder} is in use by ${whoHas(folder)}`, options);
    case "DATA_DAMAGED":
    case "INTERNAL": // a schema that does not understand what it always did
      return new MillraceError("DATA_DAMAGED", `${databasePath(folder)} is not a readable database`, options);
    case undefined:
      return new MillraceError("UNAVAILABLE", `The data folder ${folder} cannot be used: ${String(error)}`, options);
    default:
      return new MillraceError(code, `${databasePath(folder)} cannot be opened: ${String(error)}`, options);
  }
}

function whoHas(folder: string): string {
  const pid = lockHolder(databasePath(folder));
  return pid === undefined ? "another process" : `another server, process id ${pid}`;
}

/** Why a file or folder that is there cannot be written. */
function whyUnwritable(path: string): string | undefined {
  try {
    accessSync(path, constants.W_OK);
    return undefined;
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "EROFS") return "the file system is read-only";
    return code === "EACCES" || code === "EPERM" ? "this user may not" : undefined;
  }
}
