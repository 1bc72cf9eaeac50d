// Checksums of rows. SQLite's pages have none of their own, so that what a disk gives back wrong would be believed: each row
// carries one over all its values, its key included, and is not believed without.

import { crc32 } from "node:zlib";
import { MillraceError } from "../../core/index.ts";
import type { SqlValue } from "./sql.ts";

/** Of a row's values, in the order in which it is asked for again. */
export function sumOf(...values: readonly SqlValue[]): number {
  let sum = 0;
  for (const value of values) {
    sum = value instanceof Uint8Array ? crc32(value, sum) : crc32(`${typeof value}:${String(value)};`, sum);
  }
  return sum;
}

/** Throws `DATA_DAMAGED` when a row is not what was stored. */
export function assertWhole(what: string, sum: SqlValue, ...values: readonly SqlValue[]): void {
  if (sum !== sumOf(...values)) throw new MillraceError("DATA_DAMAGED", `${what} is not what was stored`);
}
