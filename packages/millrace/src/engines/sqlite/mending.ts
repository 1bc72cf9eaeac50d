// Makes a sound database of a damaged one: everything that is still what was stored, in a new file. The damaged files stay beside
// it, under another name, for whoever wants to look into them.
//
// What is read of the messages is believed when its checksum says so. Where messages stand (waiting, delayed, leased) follows from
// what is left of the tables and notes; a message of which nothing says that it is done with is in its queue. So what may go wrong
// is that a message is delivered again, and never that one is left out without a word.
//
// Files: `messages.db.mending` while it is made; `messages.db.mended` once it is whole; then the damaged ones are given their other
// name and it takes their place. Whatever ends this half way, the next opening goes on with it.

import {
  appendFileSync,
  closeSync,
  copyFileSync,
  existsSync,
  fsyncSync,
  linkSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { MillraceError } from "../../core/index.ts";
import { applicationId, databasePath, openDatabaseFile, pageBytes } from "./database.ts";
import { damagedWords } from "./damage-log.ts";
import { formatNumber, migrate, oldestReadFormat } from "./migrations.ts";
import { CatalogTables } from "./operations/catalog.ts";
import { Tables } from "./ledger.ts";
import { Query } from "./sql.ts";
import { readSalvage } from "./salvage.ts";
import type { Salvage } from "./salvage.ts";
import { writeSalvage } from "./salvage-writer.ts";

/** Answers what was lost, in words. Throws `DATA_DAMAGED` when nothing can be made of the file, which stays as it is then. */
export function mend(folder: string, cause: MillraceError): string {
  const path = databasePath(folder);
  const draft = `${path}.mending`;
  removeAll(draft);
  const source = openDamaged(path, cause);
  let salvage: Salvage;
  try {
    salvage = readSalvage(source);
    if (salvage.isEmpty) throw unusable(path, cause);
    const target = openDatabaseFile(draft);
    try {
      writeSalvage(salvage, source, target);
      target.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    } finally {
      target.close();
    }
  } finally {
    source.close();
    removeAll(`${path}.reading`);
  }
  sync(draft);
  removeAll(`${draft}-wal`);
  renameSync(draft, `${path}.mended`);
  const kept = finishMending(folder) ?? path;
  return damagedWords(cause.detail, salvage, kept);
}

/** Puts a mended database into its place; answers where the damaged one is. `undefined`: there was none. */
export function finishMending(folder: string): string | undefined {
  const path = databasePath(folder);
  const mended = `${path}.mended`;
  if (!existsSync(mended)) return undefined;
  let kept = `${path}.damaged`;
  for (let number = 2; existsSync(kept); number += 1) kept = `${path}.damaged-${number}`;
  for (const suffix of ["-wal", ""]) {
    if (!existsSync(path + suffix)) continue;
    linkSync(path + suffix, kept + suffix);
    if (suffix === "-wal") rmSync(path + suffix);
  }
  renameSync(mended, path);
  sync(dirname(path));
  return kept;
}

/** The damaged file, or a copy with a first page and a schema that SQLite takes. */
function openDamaged(path: string, cause: MillraceError): DatabaseSync {
  try {
    return openReadable(path);
  } catch {
    // Tried in turn: what is left of the schema is better than what one usually is.
    for (const mendCopy of [mendSchema, replaceSchema]) {
      const copy = `${path}.reading`;
      removeAll(copy);
      copyFileSync(path, copy);
      if (existsSync(`${path}-wal`)) copyFileSync(`${path}-wal`, `${copy}-wal`);
      try {
        mendCopy(copy);
        return openReadable(copy);
      } catch {
        removeAll(copy);
      }
    }
    throw unusable(path, cause);
  }
}

function openReadable(path: string): DatabaseSync {
  const database = new DatabaseSync(path, { timeout: 0 });
  try {
    database.exec("PRAGMA locking_mode = EXCLUSIVE; PRAGMA cell_size_check = ON");
    const version = new Query<readonly [number]>(database, "PRAGMA user_version").first()?.[0];
    // Prepares every statement, so that a schema that is another shows here.
    void new Tables(database);
    void new CatalogTables(database);
    if (version === undefined || version < oldestReadFormat || version > formatNumber)
      throw new Error(`format ${String(version)}`);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

/** The first hundred bytes of a database are the same for all of ours, but for a few that can be told from the file. */
function mendHeader(path: string): void {
  const size = statSync(path).size;
  if (size < pageBytes) throw new Error("there is not even one page");
  const file = openSync(path, "r+");
  try {
    const header = Buffer.alloc(100);
    readSync(file, header, 0, 100, 0);
    header.write("SQLite format 3\0", 0, "latin1");
    header.writeUInt16BE(pageBytes, 16);
    header.set([2, 2, 0, 64, 32, 32], 18);
    header.writeUInt32BE(Math.floor(size / pageBytes), 28);
    header.fill(0, 32, 40); // no free pages are needed for reading
    header.writeUInt32BE(4, 44);
    header.fill(0, 48, 56);
    header.writeUInt32BE(1, 56);
    header.writeUInt32BE(formatNumber, 60);
    header.fill(0, 64, 68);
    header.writeUInt32BE(applicationId, 68);
    header.fill(0, 72, 92);
    header.copy(header, 92, 24, 28);
    writeSync(file, header, 0, 100, 0);
  } finally {
    closeSync(file);
  }
}

/** The schema is the same for all of ours, too, but for where each table begins. */
function mendSchema(path: string): void {
  mendHeader(path);
  const pristine = new DatabaseSync(":memory:");
  const database = new DatabaseSync(path, { timeout: 0, defensive: false }); // lets the schema be written
  try {
    migrate(pristine);
    database.exec("PRAGMA writable_schema = ON");
    const rows = "SELECT rootpage, type, name, tbl_name, sql FROM sqlite_schema";
    const found = new Query<SchemaRow>(database, rows.replace("SELECT", "SELECT rowid,")).all();
    const update = new Query(
      database,
      "UPDATE sqlite_schema SET rootpage = ?, type = ?, name = ?, tbl_name = ?, sql = ? WHERE rowid = ?",
    );
    const wanted = new Query<SqlRow>(pristine, rows).all();
    for (const row of wanted) {
      const [rootPage, , name] = row;
      const there = found.find((each) => each[3] === name) ?? found.find((each) => each[1] === rootPage);
      if (there === undefined) continue;
      const [rowid, begins] = there;
      update.run(Number.isSafeInteger(begins) && begins > 0 ? begins : rootPage, ...row.slice(1), rowid);
    }
  } finally {
    pristine.close();
    database.close();
  }
}

/**
 * The pages of the schema as a new database has them. Tables of one that was made by this format begin at the same pages; where they
 * do not, no row has the right checksum, and nothing is read.
 */
function replaceSchema(path: string): void {
  const template = `${path}.template`;
  removeAll(template);
  try {
    openDatabaseFile(template).close();
    const pristine = readFileSync(template);
    const missing = pristine.length - statSync(path).size;
    if (missing > 0) appendFileSync(path, Buffer.alloc(missing));
    const file = openSync(path, "r+");
    try {
      for (const page of schemaPages(pristine)) {
        const from = (page - 1) * pageBytes;
        writeSync(file, pristine, from, pageBytes, from);
      }
    } finally {
      closeSync(file);
    }
    mendHeader(path);
  } finally {
    removeAll(template);
  }
}

/** The first page and those it leads to: https://sqlite.org/fileformat2.html#b_tree_pages (2026-10). */
function schemaPages(database: Buffer): readonly number[] {
  const interior = 5;
  const [kind, header] = [database[100], 100];
  if (kind !== interior) return [1];
  const cells = database.readUInt16BE(header + 3);
  const children = Array.from({ length: cells }, (_, index) =>
    database.readUInt32BE(database.readUInt16BE(header + 12 + 2 * index)),
  );
  return [1, ...children, database.readUInt32BE(header + 8)];
}

type SqlRow = readonly [rootPage: number, type: string, name: string, table: string, sql: string | null];
type SchemaRow = readonly [rowid: number, ...SqlRow];

function unusable(path: string, cause: MillraceError): MillraceError {
  return new MillraceError("DATA_DAMAGED", `${path} is damaged, and nothing can be read of it (${cause.detail})`, {
    cause,
  });
}

function removeAll(path: string): void {
  for (const suffix of ["", "-wal", "-shm", "-journal"]) rmSync(path + suffix, { force: true });
}

function sync(path: string): void {
  const file = openSync(path, "r");
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
