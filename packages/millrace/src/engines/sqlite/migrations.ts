// The schema, as the steps that lead to it. `PRAGMA user_version` counts the steps taken; each is one transaction, so one that is
// interrupted has not happened. Steps are never edited once released: a change is a further step.

import type { DatabaseSync } from "node:sqlite";
import { MillraceError } from "../../core/index.ts";
import { addChecksums } from "./checksum-step.ts";

export type Step = string | ((database: DatabaseSync) => void);

const released: readonly Step[] = [
  `
  PRAGMA application_id = 1298754668; -- "Mill" in ASCII: tells \`file\` whose database this is

  -- Everything that arrives, in order of arrival, over all queues: only ever appended to at its end, so a commit dirties the same
  -- one or two pages whether it holds one queue's messages or a thousand queues'. Rows nobody needs are deleted in ranges.
  CREATE TABLE log (
    position INTEGER PRIMARY KEY,
    queue    INTEGER NOT NULL, -- queues.number; 0: a note (see note.ts)
    data     BLOB NOT NULL     -- a message (see record.ts), or a note
  ) STRICT;

  -- Queues as of the last fold. What changed since then is in the notes.
  CREATE TABLE queues (
    number        INTEGER PRIMARY KEY, -- a new one after each purge
    id            TEXT NOT NULL,
    doomed        INTEGER NOT NULL,    -- 1: dropped or purged, being deleted in slices
    head          INTEGER NOT NULL,    -- fresh messages (never leased, visible) stand at or behind this position
    fresh_count   INTEGER NOT NULL,
    later_count   INTEGER NOT NULL,
    backlog_count INTEGER NOT NULL,
    backlog_bytes INTEGER NOT NULL,
    accepted      INTEGER NOT NULL,
    acked         INTEGER NOT NULL,
    dead_lettered INTEGER NOT NULL,
    expired       INTEGER NOT NULL,
    purged        INTEGER NOT NULL,
    dropped       INTEGER NOT NULL
  ) STRICT;
  CREATE UNIQUE INDEX queues_by_id ON queues (id) WHERE doomed = 0;

  -- Which positions are a queue's fresh messages: runs, a few hundred a row, in order.
  CREATE TABLE runs (
    queue INTEGER NOT NULL,
    last  INTEGER NOT NULL, -- last position in data
    data  BLOB NOT NULL,
    PRIMARY KEY (queue, last)
  ) STRICT, WITHOUT ROWID;

  -- Fresh messages purged one by one: holes in the runs.
  CREATE TABLE holes (
    queue    INTEGER NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (queue, position)
  ) STRICT, WITHOUT ROWID;

  -- Messages to be delivered later: delayed, retried, given back. Ready when due.
  CREATE TABLE later (
    queue    INTEGER NOT NULL,
    due_ms   INTEGER NOT NULL,
    position INTEGER NOT NULL,
    attempts INTEGER NOT NULL, -- deliveries so far
    PRIMARY KEY (queue, due_ms, position)
  ) STRICT, WITHOUT ROWID;
  CREATE UNIQUE INDEX later_by_position ON later (queue, position);

  -- Leased batches as of the last fold.
  CREATE TABLE leases (
    batch INTEGER PRIMARY KEY,
    queue INTEGER NOT NULL,
    data  BLOB NOT NULL -- see lease-book.ts
  ) STRICT;

  -- Rows of the log that nobody needs, not yet deleted, as of the last fold.
  CREATE TABLE dead (
    first INTEGER PRIMARY KEY,
    count INTEGER NOT NULL
  ) STRICT;

  CREATE TABLE fold (
    only_row        INTEGER PRIMARY KEY CHECK (only_row = 1),
    folded_position INTEGER NOT NULL, -- notes up to here are in the tables
    next_batch      INTEGER NOT NULL,
    next_queue      INTEGER NOT NULL
  ) STRICT;
  INSERT INTO fold VALUES (1, 0, 1, 1);

  CREATE TABLE catalog (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    revision INTEGER NOT NULL
  ) STRICT;
  INSERT INTO catalog VALUES (1, 0);

  CREATE TABLE records (
    number INTEGER PRIMARY KEY, -- order in which they were first stored
    kind   TEXT NOT NULL,
    key    TEXT NOT NULL,
    value  TEXT NOT NULL, -- JSON
    UNIQUE (kind, key)
  ) STRICT;

  CREATE TABLE audit (
    number   INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms    INTEGER NOT NULL,
    action   TEXT NOT NULL,
    actor    TEXT NOT NULL,
    resource TEXT NOT NULL,
    details  TEXT NOT NULL -- JSON
  ) STRICT;

  CREATE TABLE blobs (
    key   TEXT PRIMARY KEY,
    bytes BLOB NOT NULL
  ) STRICT;
  `,
  addChecksums,
  // From here on a row of the log may hold several messages (see pack.ts). Rows that are there stay as they are.
  "",
];

/** The first format whose rows this program reads as they are. */
export const oldestReadFormat = 2;

/** Of databases that are up to date. */
export const formatNumber = released.length;

/** Brings the schema up to date. Throws `DATA_TOO_NEW` when a newer program made it. `steps` are given by tests only. */
export function migrate(database: DatabaseSync, steps: readonly Step[] = released): void {
  const version = knownFormat(database, steps);
  for (const [index, step] of steps.entries()) {
    if (index < version) continue;
    database.exec("BEGIN IMMEDIATE");
    try {
      if (typeof step === "string") database.exec(step);
      else step(database);
      database.exec(`PRAGMA user_version = ${index + 1}`);
      database.exec("COMMIT");
    } catch (error) {
      if (database.isTransaction) database.exec("ROLLBACK");
      throw error;
    }
  }
}

/** How many steps a database has taken. Throws `DATA_TOO_NEW` when they are more than there are. */
export function knownFormat(database: DatabaseSync, steps: readonly Step[] = released): number {
  const version = Number(database.prepare("PRAGMA user_version").get()?.["user_version"]);
  if (version <= steps.length) return version;
  throw new MillraceError(
    "DATA_TOO_NEW",
    `The stored data has format ${version}, and this program knows formats up to ${steps.length}`,
  );
}
