// A prepared statement with positional parameters and typed rows, and what SQLite's errors mean here.

import type { DatabaseSync, StatementSync } from "node:sqlite";
import { isMillraceError } from "../../core/index.ts";
import type { ErrorCode } from "../../core/index.ts";

export type SqlValue = number | string | Uint8Array | null;

export class Query<Row extends readonly SqlValue[] = readonly SqlValue[]> {
  readonly #statement: StatementSync;

  constructor(database: DatabaseSync, sql: string) {
    this.#statement = database.prepare(sql);
    this.#statement.setReturnArrays(true);
  }

  /** Runs it; answers how many rows it changed. */
  run(...parameters: readonly SqlValue[]): number {
    return Number(this.#statement.run(...parameters).changes);
  }

  first(...parameters: readonly SqlValue[]): Row | undefined {
    return this.#statement.get(...parameters) as Row | undefined;
  }

  all(...parameters: readonly SqlValue[]): readonly Row[] {
    return this.#statement.all(...parameters) as unknown as readonly Row[];
  }

  /** Row by row, for results of any size. Nothing else may run on the statement meanwhile. */
  each(...parameters: readonly SqlValue[]): IterableIterator<Row> {
    const iterate = (): IterableIterator<Row> =>
      this.#statement.iterate(...parameters) as unknown as IterableIterator<Row>;
    try {
      return iterate();
    } catch {
      // Nothing was read yet: a statement that failed while it was iterated says so once more, when it starts anew (Node 24).
      return iterate();
    }
  }
}

/**
 * What went wrong, by SQLite's primary result code (https://sqlite.org/rescode.html, 2026-10): never by the text.
 * `undefined`: not an error of SQLite.
 */
export function sqliteErrorCode(error: unknown): ErrorCode | undefined {
  if (error instanceof RangeError && "code" in error && error.code === "ERR_OUT_OF_RANGE") return "DATA_DAMAGED"; // no number of ours is so large
  if (!(error instanceof Error) || !("errcode" in error) || typeof error.errcode !== "number") return undefined;
  switch (error.errcode & 0xff) {
    case 5: // BUSY
    case 6: // LOCKED
      return "DATA_LOCKED";
    case 11: // CORRUPT
    case 26: // NOTADB
      return "DATA_DAMAGED";
    case 13: // FULL
      return "STORAGE_FULL";
    case 7: // NOMEM
    case 8: // READONLY
    case 10: // IOERR
    case 14: // CANTOPEN
      return "UNAVAILABLE";
    default:
      return "INTERNAL";
  }
}

/** Whether an error says that what is stored is damaged, be it SQLite's word or ours. */
export function isDamage(error: unknown): boolean {
  return isMillraceError(error, "DATA_DAMAGED") || sqliteErrorCode(error) === "DATA_DAMAGED";
}
