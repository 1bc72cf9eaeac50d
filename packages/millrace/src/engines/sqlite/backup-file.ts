// The file of a backup: the database itself, with a label that says whose it is. The label is a table of its own, so that one file is
// all there is to keep; restoring takes it off again.

import { closeSync, openSync, readSync, statSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { epochMs, MillraceError } from "../../core/index.ts";
import type { EpochMs } from "../../core/index.ts";
import { applicationId } from "./database.ts";
import { knownFormat } from "./migrations.ts";
import { sqliteErrorCode } from "./sql.ts";

export interface BackupLabel {
  /** The account that every API path names. */
  readonly accountId: string;
  readonly madeAt: EpochMs;
  /** Of the program that made it. */
  readonly version: string;
}

/** Checks a copied database and puts the label on it. Throws `DATA_DAMAGED`, `DATA_TOO_NEW`, `STORAGE_FULL`, `UNAVAILABLE`. */
export function labelBackup(file: string, { accountId, madeAt, version }: BackupLabel): void {
  edit(file, (database) => {
    database.exec(`
      DROP TABLE IF EXISTS backup;
      CREATE TABLE backup (account_id TEXT NOT NULL, made_at_ms INTEGER NOT NULL, version TEXT NOT NULL) STRICT;
    `);
    database.prepare("INSERT INTO backup VALUES (?, ?, ?)").run(accountId, madeAt, version);
  });
}

/**
 * Checks a copied database and takes its label off, which makes it ready to be served. `undefined`: it has none.
 * Throws as `labelBackup`.
 */
export function unlabelBackup(file: string): BackupLabel | undefined {
  return edit(file, (database) => {
    const exists = database.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'backup'").get() !== undefined;
    if (!exists) return undefined;
    const label = database.prepare("SELECT account_id, made_at_ms, version FROM backup").get();
    database.exec("DROP TABLE backup");
    if (label === undefined) return undefined;
    const { account_id: accountId, made_at_ms: madeAt, version } = label;
    return { accountId: String(accountId), madeAt: epochMs(Number(madeAt)), version: String(version) };
  });
}

/** By its first bytes (https://sqlite.org/fileformat2.html, 2026-10): a backup, or the database of a server. Never throws. */
export function isMillraceDatabase(file: string): boolean {
  const header = Buffer.alloc(72);
  let opened: number | undefined;
  try {
    if (!statSync(file).isFile()) return false;
    opened = openSync(file, "r");
    if (readSync(opened, header, 0, header.length, 0) < header.length) return false;
    return header.toString("latin1", 0, 16) === "SQLite format 3\0" && header.readUInt32BE(68) === applicationId;
  } catch {
    return false;
  } finally {
    if (opened !== undefined) closeSync(opened);
  }
}

function edit<T>(file: string, change: (database: DatabaseSync) => T): T {
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(file, { timeout: 0 });
    assertIsOurs(database, file);
    // One file, without a write-ahead log beside it.
    database.exec("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = DELETE; PRAGMA synchronous = FULL");
    assertIsSound(database, file);
    database.exec("BEGIN IMMEDIATE");
    const result = change(database);
    database.exec("COMMIT");
    return result;
  } catch (error) {
    if (error instanceof MillraceError) throw error;
    const code = sqliteErrorCode(error);
    if (code === undefined) throw error;
    throw new MillraceError(code, `${file} cannot be read as a backup: ${String(error)}`, { cause: error });
  } finally {
    database?.close();
  }
}

function assertIsOurs(database: DatabaseSync, file: string): void {
  if (database.prepare("PRAGMA application_id").get()?.["application_id"] !== applicationId) {
    throw new MillraceError("DATA_DAMAGED", `${file} is no backup of Millrace`);
  }
  knownFormat(database);
}

function assertIsSound(database: DatabaseSync, file: string): void {
  const found = database
    .prepare("PRAGMA quick_check(3)")
    .all()
    .map((row) => String(row["quick_check"]));
  if (found.length === 1 && found[0] === "ok") return;
  throw new MillraceError("DATA_DAMAGED", `${file} is damaged: ${found.join("; ")}`);
}
