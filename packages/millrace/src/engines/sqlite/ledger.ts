// The memory of the store thread, and how it gets to disk and back.
//
// Memory is what the tables said at the last fold, with the notes since then replayed over it. An operation changes memory and
// names what it changed; `record` then puts that on disk as part of the operation's transaction: as a note, or, when enough
// notes have gathered or queues came or went, as a fold, which writes the changed rows of the tables and makes the notes dead.
// When a transaction is rolled back, memory is thrown away and read again (`Ledger.read`), which also is how the store opens.

import type { DatabaseSync } from "node:sqlite";
import type { QueueId } from "../../core/index.ts";
import { MillraceError } from "../../core/index.ts";
import { ByteWriter } from "./bytes.ts";
import { DeadRows, DeadRunCollector } from "./dead-rows.ts";
import type { DeadRun } from "./dead-rows.ts";
import { RunsTable } from "./fresh-line.ts";
import { LaterTable, setAsideAt } from "./later-line.ts";
import type { IdIndex } from "./id-index.ts";
import { withItems } from "./lease-book.ts";
import type { LeasedBatchEntry, LeasedItem } from "./lease-book.ts";
import { LogTable } from "./log-table.ts";
import { readNote, writeNote } from "./note.ts";
import type { LeaseFact, Note } from "./note.ts";
import { QueueState } from "./queue-state.ts";
import type { RunningRecount } from "./recount.ts";
import type { QueueCounters, Outcome } from "./queue-state.ts";
import type { Run } from "./run-list.ts";
import { FoldTables } from "./state-tables.ts";

export interface Tuning {
  /** A fold comes when the notes since the last one have this many bytes: what an opening has to replay. */
  readonly foldBytes: number;
  /** Runs of fresh messages that may stay in memory after a fold, over all queues. */
  readonly runsInMemory: number;
  /** Parts of rows of the log that nobody needs, and that wait for the others: beyond it, the rows are written anew without them. */
  readonly partsKept: number;
  /** Pages in the write-ahead log at which a checkpoint is made even though requests wait, and a quarter of them when none do. */
  readonly checkpointPages: number;
}

/** A message that is not what was stored. */
export interface DamagedMessage {
  readonly queue: QueueId;
  readonly position: number;
}

export class Tables {
  readonly log: LogTable;
  readonly runs: RunsTable;
  readonly later: LaterTable;
  readonly fold: FoldTables;

  constructor(database: DatabaseSync) {
    this.log = new LogTable(database);
    this.runs = new RunsTable(database);
    this.later = new LaterTable(database);
    this.fold = new FoldTables(database);
  }
}

const noCounters: QueueCounters = {
  count: 0,
  bytes: 0,
  accepted: 0,
  acked: 0,
  deadLettered: 0,
  expired: 0,
  purged: 0,
  dropped: 0,
};

export class Ledger {
  readonly tables: Tables;
  readonly dead = new DeadRows();
  /** Told of what leaves its queue. Gone when memory is read again. */
  recount: RunningRecount | undefined;
  /** Messages set aside and not yet told. */
  damaged: DamagedMessage[] = [];
  /** Kept while somebody asks for it. Gone when memory is read again: positions may be given out anew then. */
  ids: IdIndex | undefined;
  readonly tuning: Tuning;
  readonly #byId = new Map<QueueId, QueueState>();
  readonly #byNumber = new Map<number, QueueState>();
  readonly #doomed = new Set<QueueState>();
  #nextPosition = 1;
  #nextBatch = 1;
  #nextQueue = 1;

  // What this transaction changed.
  readonly #changed = new Set<QueueState>();
  readonly #appended = new Map<QueueState, Run[]>();
  readonly #changedLeases = new Map<number, QueueState>();
  readonly #newlyDead = new DeadRunCollector();
  #firstNewBatch = 1;
  #mustFold = false;
  #mustNote = false;

  // What changed since the last fold.
  readonly #unfolded = new Set<QueueState>();
  readonly #unfoldedLeases = new Map<number, QueueState>();
  readonly #notes = new DeadRunCollector();
  #noteBytes = 0;
  #firstUnfoldedBatch = 1;

  readonly #writer = new ByteWriter();

  private constructor(tables: Tables, tuning: Tuning) {
    this.tables = tables;
    this.tuning = tuning;
  }

  /** Reads memory from disk. */
  static read(tables: Tables, tuning: Tuning): Ledger {
    const ledger = new Ledger(tables, tuning);
    ledger.#read();
    return ledger;
  }

  /** Throws `DATA_DAMAGED` when anything that memory relies on is not what was stored. Reads all of it but the messages. */
  assertWhole(): void {
    const later = this.tables.later.assertWhole();
    for (const queue of this.#byNumber.values()) {
      queue.fresh.assertComplete();
      const found = later.get(queue.number) ?? 0;
      if (found === queue.later.count) continue;
      const text = `Of ${queue.later.count} messages of a queue to be delivered later ${found} are named`;
      throw new MillraceError("DATA_DAMAGED", text);
    }
  }

  /** Throws `QUEUE_NOT_FOUND`. */
  queue(id: QueueId): QueueState {
    const queue = this.#byId.get(id);
    if (queue === undefined) throw new MillraceError("QUEUE_NOT_FOUND", `Queue ${id} does not exist`);
    return queue;
  }

  hasQueue(id: QueueId): boolean {
    return this.#byId.has(id);
  }

  queues(): MapIterator<QueueState> {
    return this.#byId.values();
  }

  /** A dropped or purged queue whose messages are not all deleted yet. */
  get firstDoomed(): QueueState | undefined {
    const [first] = this.#doomed;
    return first;
  }

  get nextPosition(): number {
    return this.#nextPosition;
  }

  get nextBatch(): number {
    return this.#nextBatch;
  }

  /** Leaves out positions and batches, for good: they had been used by what is missing. */
  skipTo(position: number, nextBatch: number): void {
    this.#nextPosition = Math.max(this.#nextPosition, position + 1);
    this.#nextBatch = Math.max(this.#nextBatch, nextBatch);
    this.#mustFold = true;
  }

  createQueue(id: QueueId, counters: QueueCounters = { ...noCounters }): QueueState {
    const saved = { number: this.#nextQueue, id, head: this.#nextPosition, freshCount: 0, laterCount: 0, counters };
    const queue = new QueueState(this.tables, saved, this.#nextPosition - 1);
    this.#nextQueue += 1;
    this.#byId.set(id, queue);
    this.#byNumber.set(queue.number, queue);
    this.change(queue);
    this.#mustFold = true;
    return queue;
  }

  /** Makes a queue unreachable; what it holds is deleted in slices. */
  doom(queue: QueueState): void {
    this.#byId.delete(queue.id);
    this.#doomed.add(queue);
    queue.isDoomed = true;
    for (const { batch, items } of queue.leases.batches()) {
      for (const { position } of items) this.addDead(position);
      this.endLease(queue, batch, []);
    }
    this.change(queue);
    this.#mustFold = true;
  }

  /** Forgets a doomed queue that holds nothing any more. */
  bury(queue: QueueState): void {
    this.#doomed.delete(queue);
    this.#byNumber.delete(queue.number);
    this.tables.runs.deleteBefore(queue.number, Number.MAX_SAFE_INTEGER);
    this.tables.runs.deleteHolesBefore(queue.number, Number.MAX_SAFE_INTEGER);
    this.change(queue);
    this.#mustFold = true;
  }

  /** Names a queue whose lines or counters this transaction changes. */
  change(queue: QueueState): void {
    this.#changed.add(queue);
  }

  /**
   * Adds a message, whose record stands in `bytes` from `start` to `end`, to the end of the log; answers its position. Where it
   * belongs is for the caller to say.
   */
  append(queue: QueueState, bytes: Buffer, start: number, end: number): number {
    const position = this.#nextPosition;
    this.tables.log.appendMessage({ position, queue: queue.number }, bytes, start, end);
    this.#nextPosition += 1;
    return position;
  }

  appendFresh(queue: QueueState, run: Run): void {
    queue.fresh.append(run);
    const runs = this.#appended.get(queue);
    if (runs === undefined) this.#appended.set(queue, [run]);
    else runs.push(run);
    this.change(queue);
  }

  /** A message that is in no line of its queue is damaged, and nobody is given it: it stays, and is due never. */
  setAside(queue: QueueState, position: number, attempts: number): void {
    queue.later.insert({ position, dueAt: setAsideAt, attempts });
    this.change(queue);
    this.damaged.push({ queue: queue.id, position });
  }

  newBatch(): number {
    const batch = this.#nextBatch;
    this.#nextBatch += 1;
    return batch;
  }

  putLease(queue: QueueState, entry: LeasedBatchEntry): void {
    queue.leases.put(entry);
    this.#changedLeases.set(entry.batch, queue);
    this.change(queue);
  }

  /** Ends leases of a batch; `left` stay leased. What becomes of the others is for the caller to say. */
  endLease(queue: QueueState, batch: number, left: readonly LeasedItem[]): void {
    const entry = queue.leases.get(batch);
    if (entry !== undefined) this.putLease(queue, withItems(entry, left));
  }

  /** A message leaves its queue for good. */
  remove(queue: QueueState, outcome: Outcome, message: { readonly position: number; readonly size: number }): void {
    queue.countOut(outcome, 1, message.size);
    this.#newlyDead.add(message.position);
    if (this.recount?.queue === queue.number) this.recount.removed(message.position, message.size);
    this.change(queue);
  }

  /** Nobody needs these rows of the log any more. */
  addDead(first: number, count = 1): void {
    this.#newlyDead.add(first, count);
  }

  /** All rows of the log that nobody needs and that are not deleted yet, this transaction's included, in order. */
  deadRuns(): readonly DeadRun[] {
    const all = new DeadRows();
    all.add(this.dead.runs());
    all.add(this.#newlyDead.runs);
    return all.runs();
  }

  /** Puts on disk what this transaction changed; its last step before it is committed. */
  record(): void {
    this.tables.log.flush();
    const dead = this.#newlyDead.flush();
    if (this.#changed.size === 0 && dead.length === 0 && !this.#mustFold && !this.#mustNote) return;
    this.dead.add(dead);
    for (const queue of this.#changed) this.#unfolded.add(queue);
    for (const [batch, queue] of this.#changedLeases) this.#unfoldedLeases.set(batch, queue);
    if (this.#mustFold || this.#noteBytes >= this.tuning.foldBytes) this.#fold();
    else this.#writeNote(dead);
    this.#changed.clear();
    this.#appended.clear();
    this.#changedLeases.clear();
    this.#firstNewBatch = this.#nextBatch;
    this.#mustFold = false;
    this.#mustNote = false;
  }

  /** Makes the next `record` write something, so that there is something to sync. */
  noteAnyway(): void {
    this.#mustNote = true;
  }

  /** Makes the next `record` a fold, so that an opening has nothing to replay. */
  foldNext(): void {
    if (this.#unfolded.size === 0) return;
    for (const queue of this.#unfolded) this.change(queue);
    this.#mustFold = true;
  }

  #writeNote(dead: Note["dead"]): void {
    const leases: LeaseFact[] = [];
    for (const [batch, queue] of this.#changedLeases) {
      const entry = queue.leases.get(batch);
      // A batch that was leased and settled within this transaction was never on disk.
      if (entry !== undefined || batch < this.#firstNewBatch) leases.push({ queue: queue.number, batch, entry });
    }
    const note = writeNote(
      this.#writer,
      {
        nextBatch: this.#nextBatch,
        queues: Array.from(this.#changed, (queue) => ({
          number: queue.number,
          head: queue.fresh.head,
          freshCount: queue.fresh.count,
          laterCount: queue.later.count,
          counters: queue.counters,
          appended: this.#appended.get(queue) ?? [],
        })),
        leases,
        dead,
      },
      this.#nextPosition,
    );
    this.tables.log.appendNote(this.#nextPosition, note);
    this.#notes.add(this.#nextPosition);
    this.#noteBytes += note.length;
    this.#nextPosition += 1;
  }

  #fold(): void {
    const { fold } = this.tables;
    const position = this.#nextPosition - 1;
    const keep = Math.max(8, Math.min(512, Math.floor(this.tuning.runsInMemory / Math.max(1, this.#byNumber.size))));
    for (const queue of this.#unfolded) {
      if (!this.#byNumber.has(queue.number)) {
        fold.deleteQueue(queue.number);
        continue;
      }
      queue.fresh.save(position, keep);
      fold.putQueue(queue);
    }
    for (const [batch, queue] of this.#unfoldedLeases) {
      const entry = queue.leases.get(batch);
      if (entry !== undefined) fold.putLease(queue.number, entry);
      else if (batch < this.#firstUnfoldedBatch) fold.deleteLease(batch);
    }
    this.dead.add(this.#notes.flush());
    let leases = 0;
    for (const queue of this.#byNumber.values()) leases += queue.leases.size;
    fold.putMark(
      { position, nextBatch: this.#nextBatch, nextQueue: this.#nextQueue },
      { queues: this.#byNumber.size, leases },
      this.dead.runs(),
    );
    this.#unfolded.clear();
    this.#unfoldedLeases.clear();
    this.#noteBytes = 0;
    this.#firstUnfoldedBatch = this.#nextBatch;
  }

  #read(): void {
    const { fold, log, runs } = this.tables;
    const mark = fold.mark();
    this.#nextBatch = mark.nextBatch;
    this.#nextQueue = mark.nextQueue;
    this.#firstUnfoldedBatch = mark.nextBatch;
    for (const saved of fold.queues()) {
      const queue = new QueueState(this.tables, saved, mark.position);
      this.#byNumber.set(queue.number, queue);
      queue.isDoomed = saved.isDoomed;
      if (saved.isDoomed) this.#doomed.add(queue);
      else this.#byId.set(queue.id, queue);
    }
    for (const [queue, position] of runs.holes()) this.#numbered(queue).fresh.replayHole(position);
    for (const { queue, entry } of fold.leases()) this.#numbered(queue).leases.put(entry);
    this.dead.add(fold.dead());
    let last = mark.position;
    for (const [position, data] of log.notesBehind(mark.position)) {
      this.#replay(readNote(data, position));
      this.#notes.add(position);
      this.#noteBytes += data.length;
      last = position;
    }
    this.#nextPosition = last + 1;
    this.#firstNewBatch = this.#nextBatch;
  }

  #replay(note: Note): void {
    this.#nextBatch = note.nextBatch;
    for (const facts of note.queues) {
      const queue = this.#numbered(facts.number);
      Object.assign(queue.counters, facts.counters);
      for (const run of facts.appended) queue.fresh.replayAppended(run);
      queue.fresh.replayState(facts.head, facts.freshCount);
      queue.later.replayCount(facts.laterCount);
      this.#unfolded.add(queue);
    }
    for (const { queue: number, batch, entry } of note.leases) {
      const queue = this.#numbered(number);
      if (entry === undefined) queue.leases.delete(batch);
      else queue.leases.put(entry);
      this.#unfoldedLeases.set(batch, queue);
    }
    this.dead.add(note.dead);
  }

  #numbered(number: number): QueueState {
    const queue = this.#byNumber.get(number);
    if (queue === undefined) throw new MillraceError("DATA_DAMAGED", `Queue number ${number} is named but not stored`);
    return queue;
  }
}
