// Writes what was read of a damaged database into a new one.

import type { DatabaseSync } from "node:sqlite";
import { Tables } from "./ledger.ts";
import { LaterLine } from "./later-line.ts";
import { QueueState } from "./queue-state.ts";
import { LogTable } from "./log-table.ts";
import type { Run } from "./run-list.ts";
import type { Salvage, SalvagedQueue } from "./salvage.ts";
import { isDamage, Query } from "./sql.ts";
import { sumOf } from "./sums.ts";

/** In the place of what is not even bytes any more. */
const nothing = new Uint8Array(0);

/** All of it in one transaction. Records are copied from the source one by one. */
export function writeSalvage(salvage: Salvage, source: DatabaseSync, target: DatabaseSync): void {
  const tables = new Tables(target);
  const log = new LogTable(source);
  const append = new Query(target, "INSERT INTO log (position, queue, data) VALUES (?, ?, ?)");
  target.exec("BEGIN IMMEDIATE");
  for (const queue of salvage.queues) {
    for (const { position } of queue.messages) {
      try {
        const data = log.raw(position);
        if (data !== undefined) append.run(position, queue.number, data instanceof Uint8Array ? data : nothing);
      } catch (error) {
        if (!isDamage(error)) throw error; // then it is missing, and is told when it is to be handed out
      }
    }
    writeQueue(tables, queue, salvage.lastPosition);
  }
  const { lastPosition: position, nextBatch, nextQueue } = salvage;
  const leases = salvage.queues.reduce((sum, queue) => sum + queue.leases.length, 0);
  tables.fold.putMark({ position, nextBatch, nextQueue }, { queues: salvage.queues.length, leases }, []);
  writeCatalog(salvage, target);
  target.exec("COMMIT");
}

function writeQueue(tables: Tables, queue: SalvagedQueue, lastPosition: number): void {
  const { number, id, counters, messages, later, leases } = queue;
  const leased = new Set(leases.flatMap(({ items }) => items.map(({ position }) => position)));
  const runs: { first: number; count: number; readonly storedAt: Run["storedAt"] }[] = [];
  const line = new LaterLine(tables.later, number, 0);
  let freshCount = 0;
  for (const { position, storedAt } of messages) {
    const waiting = later.get(position);
    if (waiting !== undefined) line.insert({ position, ...waiting });
    else if (!leased.has(position)) {
      freshCount += 1;
      const last = runs.at(-1);
      if (last !== undefined && last.first + last.count === position && last.storedAt === storedAt) last.count += 1;
      else runs.push({ first: position, count: 1, storedAt });
    }
  }
  tables.runs.save(number, runs);
  for (const entry of leases) tables.fold.putLease(number, entry);
  const head = runs[0]?.first ?? lastPosition + 1;
  const saved = { number, id, head, freshCount, laterCount: later.size, counters };
  tables.fold.putQueue(new QueueState(tables, saved, lastPosition));
}

function writeCatalog({ revision, records, audit, blobs }: Salvage, target: DatabaseSync): void {
  const insert = (table: string, columns: string, rows: Salvage["records"]): void => {
    const marks = columns
      .split(",")
      .map(() => "?")
      .join(", ");
    const query = new Query(target, `INSERT INTO ${table} (${columns}, sum) VALUES (${marks}, ?)`);
    for (const row of rows) query.run(...row, sumOf(...row));
  };
  for (const table of ["records", "record_copies"]) insert(table, "number, kind, key, value", records);
  insert("audit", "number, at_ms, action, actor, resource, details", audit);
  insert("blobs", "key, bytes", blobs);
  new Query(target, "UPDATE catalog SET revision = ?, records = ?, sum = ?").run(
    revision,
    records.length,
    sumOf(revision, records.length),
  );
}
