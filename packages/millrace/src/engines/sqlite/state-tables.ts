// The tables that a fold writes and an opening reads: queues, leases, dead rows, and how far the fold went.

import type { DatabaseSync } from "node:sqlite";
import type { QueueId } from "../../core/index.ts";
import { ByteReader, ByteWriter } from "./bytes.ts";
import type { DeadRun } from "./dead-rows.ts";
import { readLease, writeLease } from "./lease-book.ts";
import type { LeasedBatchEntry } from "./lease-book.ts";
import type { QueueState, SavedQueue } from "./queue-state.ts";
import { Query } from "./sql.ts";

export interface FoldMark {
  /** Notes up to here are in the tables. */
  readonly position: number;
  readonly nextBatch: number;
  readonly nextQueue: number;
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
];

export class FoldTables {
  readonly #queues: Query<QueueRow>;
  readonly #putQueue: Query;
  readonly #deleteQueue: Query;
  readonly #leases: Query<readonly [batch: number, queue: number, data: Uint8Array]>;
  readonly #putLease: Query;
  readonly #deleteLease: Query;
  readonly #dead: Query<readonly [first: number, count: number]>;
  readonly #insertDead: Query;
  readonly #deleteDead: Query;
  readonly #mark: Query<readonly [position: number, nextBatch: number, nextQueue: number]>;
  readonly #putMark: Query;
  readonly #writer = new ByteWriter();

  constructor(database: DatabaseSync) {
    this.#queues = new Query(
      database,
      `SELECT number, id, doomed, head, fresh_count, later_count, backlog_count, backlog_bytes,
              accepted, acked, dead_lettered, expired, purged, dropped FROM queues`,
    );
    this.#putQueue = new Query(
      database,
      `INSERT INTO queues (number, id, doomed, head, fresh_count, later_count, backlog_count, backlog_bytes,
                           accepted, acked, dead_lettered, expired, purged, dropped)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (number) DO UPDATE SET
         doomed = excluded.doomed, head = excluded.head, fresh_count = excluded.fresh_count, later_count = excluded.later_count,
         backlog_count = excluded.backlog_count, backlog_bytes = excluded.backlog_bytes, accepted = excluded.accepted,
         acked = excluded.acked, dead_lettered = excluded.dead_lettered, expired = excluded.expired,
         purged = excluded.purged, dropped = excluded.dropped`,
    );
    this.#deleteQueue = new Query(database, "DELETE FROM queues WHERE number = ?");
    this.#leases = new Query(database, "SELECT batch, queue, data FROM leases ORDER BY batch");
    this.#putLease = new Query(database, "INSERT OR REPLACE INTO leases (batch, queue, data) VALUES (?, ?, ?)");
    this.#deleteLease = new Query(database, "DELETE FROM leases WHERE batch = ?");
    this.#dead = new Query(database, "SELECT first, count FROM dead ORDER BY first");
    this.#insertDead = new Query(database, "INSERT INTO dead (first, count) VALUES (?, ?)");
    this.#deleteDead = new Query(database, "DELETE FROM dead");
    this.#mark = new Query(database, "SELECT folded_position, next_batch, next_queue FROM fold");
    this.#putMark = new Query(database, "UPDATE fold SET folded_position = ?, next_batch = ?, next_queue = ?");
  }

  *queues(): Generator<SavedQueue & { readonly isDoomed: boolean }> {
    for (const row of this.#queues.all()) {
      const [number, id, doomed, head, freshCount, laterCount, ...counts] = row;
      const [count, bytes, accepted, acked, deadLettered, expired, purged, dropped] = counts;
      const counters = { count, bytes, accepted, acked, deadLettered, expired, purged, dropped };
      yield { number, id: id as QueueId, isDoomed: doomed === 1, head, freshCount, laterCount, counters };
    }
  }

  putQueue(queue: QueueState): void {
    const { count, bytes, accepted, acked, deadLettered, expired, purged, dropped } = queue.counters;
    this.#putQueue.run(
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
    );
  }

  deleteQueue(number: number): void {
    this.#deleteQueue.run(number);
  }

  *leases(): Generator<{ readonly queue: number; readonly entry: LeasedBatchEntry }> {
    for (const [batch, queue, data] of this.#leases.all())
      yield { queue, entry: readLease(new ByteReader(data), batch) };
  }

  putLease(queue: number, entry: LeasedBatchEntry): void {
    writeLease(this.#writer.clear(), entry);
    this.#putLease.run(entry.batch, queue, this.#writer.view());
  }

  deleteLease(batch: number): void {
    this.#deleteLease.run(batch);
  }

  dead(): DeadRun[] {
    return this.#dead.all().map(([first, count]) => ({ first, count }));
  }

  replaceDead(runs: readonly DeadRun[]): void {
    this.#deleteDead.run();
    for (const { first, count } of runs) this.#insertDead.run(first, count);
  }

  mark(): FoldMark {
    const [position, nextBatch, nextQueue] = this.#mark.first() ?? [0, 1, 1];
    return { position, nextBatch, nextQueue };
  }

  putMark(mark: FoldMark): void {
    this.#putMark.run(mark.position, mark.nextBatch, mark.nextQueue);
  }
}
