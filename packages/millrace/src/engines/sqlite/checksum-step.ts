// A step of the schema: from format 1, without checksums, to format 2, in which every row of the tables has one. Rows of the log
// keep what they are, and say themselves whether they have one: they come and go, and reading them all would take long.

import type { DatabaseSync } from "node:sqlite";
import { laterSumSql } from "./later-line.ts";
import { sumOf } from "./sums.ts";
import type { SqlValue } from "./sql.ts";

/** By table: the key, and the columns that the checksum is over, in their order. */
export const checkedColumns = {
  queues: [
    "number",
    "id",
    "doomed",
    "head",
    "fresh_count",
    "later_count",
    "backlog_count",
    "backlog_bytes",
    "accepted",
    "acked",
    "dead_lettered",
    "expired",
    "purged",
    "dropped",
  ],
  runs: ["queue", "last", "data"],
  holes: ["queue", "position"],
  leases: ["batch", "queue", "data"],
  dead: ["first", "count"],
  fold: ["folded_position", "next_batch", "next_queue", "queues", "leases", "dead"],
  catalog: ["revision", "records"],
  records: ["number", "kind", "key", "value"],
  audit: ["number", "at_ms", "action", "actor", "resource", "details"],
  blobs: ["key", "bytes"],
} as const;

export function addChecksums(database: DatabaseSync): void {
  database.exec(`
    ALTER TABLE fold ADD COLUMN queues INTEGER NOT NULL DEFAULT 0; -- rows there are in the table of that name
    ALTER TABLE fold ADD COLUMN leases INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE fold ADD COLUMN dead   INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE catalog ADD COLUMN records INTEGER NOT NULL DEFAULT 0;
    UPDATE fold SET queues = (SELECT count(*) FROM queues), leases = (SELECT count(*) FROM leases),
                    dead = (SELECT count(*) FROM dead);
    UPDATE catalog SET records = (SELECT count(*) FROM records);
    ALTER TABLE later ADD COLUMN sum INTEGER NOT NULL DEFAULT 0;
    UPDATE later SET sum = ${laterSumSql};
  `);
  database.function("millrace_sum", { varargs: true, deterministic: true }, (...values) =>
    sumOf(...(values as SqlValue[])),
  );
  for (const [table, columns] of Object.entries(checkedColumns)) {
    database.exec(`
      ALTER TABLE ${table} ADD COLUMN sum INTEGER NOT NULL DEFAULT 0;
      UPDATE ${table} SET sum = millrace_sum(${columns.join(", ")});
    `);
  }
  database.exec(`
    -- The settings once more: what is damaged in one of the tables is still there in the other.
    CREATE TABLE record_copies (
      number INTEGER PRIMARY KEY,
      kind   TEXT NOT NULL,
      key    TEXT NOT NULL,
      value  TEXT NOT NULL,
      sum    INTEGER NOT NULL
    ) STRICT;
    INSERT INTO record_copies SELECT number, kind, key, value, sum FROM records;
  `);
}
