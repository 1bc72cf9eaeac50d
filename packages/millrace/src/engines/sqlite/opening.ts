// Opens the data of a folder: as it is, or, when it is damaged, as what can be read of it.

import { closeSync, existsSync, openSync, readSync } from "node:fs";
import type { DatabaseSync } from "node:sqlite";
import { isMillraceError, MillraceError } from "../../core/index.ts";
import { databasePath, openDatabase, openingError } from "./database.ts";
import type { Tuning } from "./ledger.ts";
import { finishMending, mend } from "./mending.ts";
import { PromiseFile } from "./promise-file.ts";
import { isDamage, sqliteErrorCode } from "./sql.ts";
import { Store } from "./store.ts";

/** Pages up to which SQLite itself looks through all of them at each start: 32 MB, a tenth of a second. */
const checkedPages = 8_192;

export interface OpenedStore {
  readonly store: Store;
  readonly database: DatabaseSync;
  /** What was wrong with the data, and what became of it, in words; `undefined`: nothing. */
  readonly damage: string | undefined;
}

/** Throws `DATA_LOCKED`, `DATA_DAMAGED`, `DATA_TOO_NEW`, `STORAGE_FULL`, `UNAVAILABLE`. */
export function openStore(folder: string, tuning: Tuning, cachePages?: number): OpenedStore {
  finishMending(folder);
  assertInPlace(databasePath(folder));
  try {
    return { ...open(folder, tuning, cachePages), damage: undefined };
  } catch (error) {
    if (!isMillraceError(error, "DATA_DAMAGED")) throw error;
  }
  // SQLite takes some errors of the disk for damage: nothing is given up before all of the files can be read, and read so twice.
  for (const suffix of ["", "-wal"]) readThrough(databasePath(folder) + suffix);
  try {
    return { ...open(folder, tuning, cachePages), damage: undefined };
  } catch (error) {
    if (!isMillraceError(error, "DATA_DAMAGED")) throw error;
    // Its rows have no checksums, and its settings no copy: what is taken out of it may be wrong, and is no replacement for a backup.
    if (storedFormat(databasePath(folder)) === 1) throw error;
    const damage = mend(folder, error);
    return { ...open(folder, tuning, cachePages), damage };
  }
}

function open(
  folder: string,
  tuning: Tuning,
  cachePages: number | undefined,
): { readonly store: Store; readonly database: DatabaseSync } {
  const database = openDatabase(folder);
  try {
    if (cachePages !== undefined) database.exec(`PRAGMA cache_size = ${cachePages}`);
    assertSound(database);
    return { database, store: new Store(database, tuning, PromiseFile.open(folder)) };
  } catch (error) {
    database.close();
    throw isDamage(error) || isOtherSchema(error)
      ? new MillraceError("DATA_DAMAGED", wordsOf(error), { cause: error })
      : openingError(error, folder);
  }
}

/** A server that was started again by itself must not begin anew beside what the one before saved: see file-place.ts. */
function assertInPlace(path: string): void {
  const rescued = `${path}.rescued`;
  if (existsSync(path) || !existsSync(rescued)) return;
  throw new MillraceError("DATA_MOVED", `${path} is gone, and ${rescued} has all it held: give that its name`);
}

/** A statement that SQLite does not understand, of those that it always did: the schema is damaged. */
function isOtherSchema(error: unknown): boolean {
  return sqliteErrorCode(error) === "INTERNAL";
}

function wordsOf(error: unknown): string {
  if (isMillraceError(error)) return error.detail;
  return error instanceof Error ? error.message : String(error);
}

function assertSound(database: DatabaseSync): void {
  const pages = Number(database.prepare("PRAGMA page_count").get()?.["page_count"]);
  if (pages > checkedPages) return;
  const found = String(database.prepare("PRAGMA quick_check(1)").get()?.["quick_check"]);
  if (found !== "ok") throw new MillraceError("DATA_DAMAGED", `The database is damaged: ${found}`);
}

/** The `user_version` in the header of the file (https://sqlite.org/fileformat.html, 1.3.14); `undefined`: there is no header. */
function storedFormat(path: string): number | undefined {
  if (!existsSync(path)) return undefined;
  const file = openSync(path, "r");
  try {
    const version = Buffer.alloc(4);
    return readSync(file, version, 0, version.length, 60) === version.length ? version.readUInt32BE() : undefined;
  } finally {
    closeSync(file);
  }
}

/** Throws `UNAVAILABLE` when the disk does not give back what the file says it has. */
function readThrough(path: string): void {
  let file: number | undefined;
  try {
    file = openSync(path, "r");
    const chunk = Buffer.allocUnsafe(1_048_576);
    while (readSync(file, chunk, 0, chunk.length, null) > 0);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return;
    throw new MillraceError("UNAVAILABLE", `The disk cannot read ${path}: ${String(error)}`, { cause: error });
  } finally {
    if (file !== undefined) closeSync(file);
  }
}
