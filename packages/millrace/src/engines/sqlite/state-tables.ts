// The tables that a fold writes and an opening reads: queues, leases, dead rows, and how far the fold went.

import type { DatabaseSync } from "node:sqlite";
import { MillraceError } from "../../core/index.ts";
import type { QueueId } from "../../core/index.ts";
import { ByteReader, ByteWriter } from "./bytes.ts";
import type { DeadRun } from "./dead-rows.ts";
import { readLease, writeLease } from "./lease-book.ts";
import type { LeasedBatchEntry } from "./lease-book.ts";
import type { QueueState, SavedQueue } from "./queue-state.ts";
import { Query } from "./sql.ts";
import { assertWhole, sumOf } from "./sums.ts";

export interface FoldMark {
  /** Notes up to here are in the tables. */
  readonly position: number;
  readonly nextBatch: number;
  readonly nextQueue: number;
}

/** Rows that are in a table: a row that is gone leaves no other trace. */
export interface FoldCounts {
  readonly queues: number;
  readonly leases: number;
}

type QueueRow = readonly [
  number: number,
  id: string,
  doomed: number,
  head: number,
  freshCount: number,
  laterCount: number,
  count: number,
  bytes: number,
  accepted: number,
  acked: number,
  deadLettered: number,
  expired: number,
  purged: number,
  dropped: number,
  sum: number,
];

export class FoldTables {
  readonly #queues: Query<QueueRow>;
  readonly #putQueue: Query;
  readonly #deleteQueue: Query;
  readonly #leases: Query<readonly [batch: number, queue: number, data: Uint8Array, sum: number]>;
  readonly #putLease: Query;
  readonly #deleteLease: Query;
  readonly #dead: Query<readonly [first: number, count: number, sum: number]>;
  readonly #insertDead: Query;
  readonly #deleteDead: Query;
  readonly #mark: Query<
    readonly [
      position: number,
      nextBatch: number,
      nextQueue: number,
      queues: number,
      leases: number,
      dead: number,
      sum: number,
    ]
  >;
  readonly #putMark: Query;
  readonly #writer = new ByteWriter();

  constructor(database: DatabaseSync) {
    this.#queues = new Query(
      database,
      `SELECT number, id, doomed, head, fresh_count, later_count, backlog_count, backlog_bytes,
              accepted, acked, dead_lettered, expired, purged, dropped, sum FROM queues`,
    );
    this.#putQueue = new Query(
      database,
      `INSERT INTO queues (number, id, doomed, head, fresh_count, later_count, backlog_count, backlog_bytes,
                           accepted, acked, dead_lettered, expired, purged, dropped, sum)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (number) DO UPDATE SET
         doomed = excluded.doomed, head = excluded.head, fresh_count = excluded.fresh_count, later_count = excluded.later_count,
         backlog_count = excluded.backlog_count, backlog_bytes = excluded.backlog_bytes, accepted = excluded.accepted,
         acked = excluded.acked, dead_lettered = excluded.dead_lettered, expired = excluded.expired,
         purged = excluded.purged, dropped = excluded.dropped, sum = excluded.sum`,
    );
    this.#deleteQueue = new Query(database, "DELETE FROM queues WHERE number = ?");
    this.#leases = new Query(database, "SELECT batch, queue, data, sum FROM leases ORDER BY batch");
    this.#putLease = new Query(database, "INSERT OR REPLACE INTO leases (batch, queue, data, sum) VALUES (?, ?, ?, ?)");
    this.#deleteLease = new Query(database, "DELETE FROM leases WHERE batch = ?");
    this.#dead = new Query(database, "SELECT first, count, sum FROM dead ORDER BY first");
    this.#insertDead = new Query(database, "INSERT INTO dead (first, count, sum) VALUES (?, ?, ?)");
    this.#deleteDead = new Query(database, "DELETE FROM dead");
    this.#mark = new Query(
      database,
      "SELECT folded_position, next_batch, next_queue, queues, leases, dead, sum FROM fold",
    );
    this.#putMark = new Query(
      database,
      "UPDATE fold SET folded_position = ?, next_batch = ?, next_queue = ?, queues = ?, leases = ?, dead = ?, sum = ?",
    );
  }

  /** Throws `DATA_DAMAGED`, as everything does that reads here. */
  queues(): (SavedQueue & { readonly isDoomed: boolean })[] {
    const rows = this.#queues.all();
    this.#assertCount("queues", rows.length, (this.#mark.first() ?? noMark)[3]);
    return rows.map((row) => {
      const sum = row[14];
      const values = row.slice(0, 14);
      assertWhole("What is stored of a queue", sum, ...values);
      const [number, id, doomed, head, freshCount, laterCount, ...counts] = row;
      const [count, bytes, accepted, acked, deadLettered, expired, purged, dropped] = counts;
      const counters = { count, bytes, accepted, acked, deadLettered, expired, purged, dropped };
      return { number, id: id as QueueId, isDoomed: doomed === 1, head, freshCount, laterCount, counters };
    });
  }

  putQueue(queue: QueueState): void {
    const { count, bytes, accepted, acked, deadLettered, expired, purged, dropped } = queue.counters;
    const values = [
      queue.number,
      queue.id,
      queue.isDoomed ? 1 : 0,
      queue.fresh.head,
      queue.fresh.count,
      queue.later.count,
      count,
      bytes,
      accepted,
      acked,
      deadLettered,
      expired,
      purged,
      dropped,
    ];
    this.#putQueue.run(...values, sumOf(...values));
  }

  deleteQueue(number: number): void {
    this.#deleteQueue.run(number);
  }

  leases(): { readonly queue: number; readonly entry: LeasedBatchEntry }[] {
    const rows = this.#leases.all();
    this.#assertCount("leases", rows.length, (this.#mark.first() ?? noMark)[4]);
    return rows.map(([batch, queue, data, sum]) => {
      assertWhole("What is stored of leases", sum, batch, queue, data);
      return { queue, entry: readLease(new ByteReader(data), batch) };
    });
  }

  putLease(queue: number, entry: LeasedBatchEntry): void {
    writeLease(this.#writer.clear(), entry);
    const data = this.#writer.view();
    this.#putLease.run(entry.batch, queue, data, sumOf(entry.batch, queue, data));
  }

  deleteLease(batch: number): void {
    this.#deleteLease.run(batch);
  }

  dead(): DeadRun[] {
    const rows = this.#dead.all();
    this.#assertCount("dead rows", rows.length, (this.#mark.first() ?? noMark)[5]);
    return rows.map(([first, count, sum]) => {
      assertWhole("What is stored of dead rows", sum, first, count);
      return { first, count };
    });
  }

  mark(): FoldMark {
    const row = this.#mark.first();
    if (row === undefined) throw new MillraceError("DATA_DAMAGED", "How far the tables go is not stored");
    const [position, nextBatch, nextQueue, queues, leases, dead, sum] = row;
    assertWhole("How far the tables go", sum, position, nextBatch, nextQueue, queues, leases, dead);
    return { position, nextBatch, nextQueue };
  }

  /** The last step of a fold: `dead` replaces what was there of it. */
  putMark({ position, nextBatch, nextQueue }: FoldMark, counts: FoldCounts, dead: readonly DeadRun[]): void {
    this.#deleteDead.run();
    for (const { first, count } of dead) this.#insertDead.run(first, count, sumOf(first, count));
    const values = [position, nextBatch, nextQueue, counts.queues, counts.leases, dead.length];
    this.#putMark.run(...values, sumOf(...values));
  }

  #assertCount(what: string, found: number, expected: number): void {
    if (found === expected) return;
    throw new MillraceError("DATA_DAMAGED", `Of ${expected} rows about ${what} ${found} are there`);
  }
}

const noMark = [0, 1, 1, 0, 0, 0, 0] as const;
