// Runs groups of requests: everything that waits becomes one transaction, so all of it shares one sync to disk, and nobody waits
// for a timer. A request that is refused (`MillraceError` before anything happened) harms no neighbour. When anything else fails,
// the transaction is rolled back, memory is read again, and each request gets a transaction of its own, so that the failure
// finds the one it belongs to.
//
// Memory that a failed transaction has changed is never used again: it would be put on disk with the next one. It is read from
// disk before anything else is done, and while that fails too, everything is refused.

import type { DatabaseSync } from "node:sqlite";
import { epochMs, isMillraceError, MillraceError } from "../../core/index.ts";
import type { EpochMs, Holder, QueueId, QueueSurvey } from "../../core/index.ts";
import { AnswerBytes } from "./answer-bytes.ts";
import { Durability } from "./durability.ts";
import { FilePlace } from "./file-place.ts";
import { Ledger, Tables } from "./ledger.ts";
import type { DamagedMessage, Tuning } from "./ledger.ts";
import { CatalogTables } from "./operations/catalog.ts";
import { cleanUp, isBehind, needsCleanUp } from "./operations/clean-up.ts";
import { forgetIds, indexIds } from "./operations/known-ids.ts";
import { purge, purgeByRef, sweep } from "./operations/discard.ts";
import { lease } from "./operations/lease.ts";
import { expiredLeases, peek } from "./operations/look.ts";
import { send } from "./operations/send.ts";
import { extend, releaseHolder, settle } from "./operations/settle.ts";
import { verify } from "./operations/verify.ts";
import { LiveCopy } from "./live-copy.ts";
import type { Promised, PromiseFile } from "./promise-file.ts";
import { done } from "./protocol.ts";
import type { Answer, Failure, Operation, Request, Results } from "./protocol.ts";
import { Query, sqliteErrorCode } from "./sql.ts";
import type { Standing } from "./standings-frame.ts";

/** A request with the buffer that its slices point into. */
export interface WaitingRequest {
  readonly request: Request;
  readonly bytes: Buffer;
}

export interface GroupAnswer {
  readonly answers: readonly Answer[];
  readonly standings: readonly Standing[];
  /** What the answers' slices point into. */
  readonly bytes: AnswerBytes;
}

/** What is answered beside the results. */
class Group {
  readonly bytes = new AnswerBytes();
  /** Queues whose standing is told; true: something in it may have become leasable. */
  readonly touched = new Map<QueueId, boolean>();
  now: EpochMs = epochMs(0);

  touch(queue: QueueId, isWoken: boolean, now: EpochMs): void {
    this.touched.set(queue, isWoken || (this.touched.get(queue) ?? false));
    if (now > this.now) this.now = now;
  }
}

/** Settlements that are answered at once are on disk so much later, ms. */
const mostOwedMs = 10;
/** And when that failed, tried again after so long. */
const owedAgainMs = 1_000;

/** What is missing at the end of the data. */
export interface Loss {
  /** Rows of the log: messages, and what became of messages. */
  readonly rows: number;
  /** Changes of the catalog. */
  readonly revisions: number;
}

/** Messages of one queue that were set aside. */
export interface DamagedMessages {
  readonly queue: QueueId;
  /** `undefined`: not known. */
  readonly name: string | undefined;
  readonly positions: readonly number[];
}

/** Times in a row that memory cannot be read after which the store gives up: somebody must see to the disk. */
const readingTries = 20;

export class Store {
  readonly #database: DatabaseSync;
  readonly #tables: Tables;
  readonly #catalog: CatalogTables;
  readonly #tuning: Tuning;
  readonly #begin: Query;
  readonly #commit: Query;
  readonly #rollback: Query;
  readonly #walPages: Query<readonly [busy: number, pages: number, checkpointed: number]>;
  /** `undefined`: to be read again, since a transaction failed. */
  #memory: Ledger | undefined;
  #damaged: DamagedMessage[] = [];
  /** How often in a row it could not be read. */
  #unreadable = 0;
  /** Whether a commit waits for the disk. */
  #syncs = true;
  /** When the first settlement was answered that is not on disk yet; `undefined`: all are. By the process's own clock, ms. */
  #owesSince: number | undefined;
  /** Runs of dead positions that waited when `keepUp` was done; of those that an opening finds, no more than a slice is hurried. */
  #leftBehind = Number.POSITIVE_INFINITY;
  readonly #durability: Durability;
  readonly #place: FilePlace;
  /** The newest copy; whoever runs the store starts it, and gives it its turns. */
  copy: LiveCopy | undefined;

  /** What had been promised and is not there; `undefined`: nothing, as it should be. */
  readonly lost: Loss | undefined;

  /** Throws what SQLite throws, and `DATA_DAMAGED`. Without `promises` nothing is said about what is missing at the end. */
  constructor(database: DatabaseSync, tuning: Tuning, promises?: PromiseFile) {
    this.#database = database;
    this.#tuning = tuning;
    this.#tables = new Tables(database);
    this.#catalog = new CatalogTables(database);
    this.#begin = new Query(database, "BEGIN");
    this.#commit = new Query(database, "COMMIT");
    this.#rollback = new Query(database, "ROLLBACK");
    this.#walPages = new Query(database, "PRAGMA wal_checkpoint(NOOP)");
    this.#durability = new Durability(`${database.location() ?? ""}-wal`, promises);
    this.#place = new FilePlace(database);
    this.#memory = Ledger.read(this.#tables, tuning);
    this.#memory.assertWhole();
    this.#catalog.assertWhole();
    this.#durability.opened(this.#progress(this.#memory));
    this.lost = this.#findLoss(this.#memory);
  }

  /**
   * Answers all requests. What they did is on disk when it returns; with `syncs: false` it may be forgotten when the machine
   * fails, until a later group is on disk. Throws when memory cannot be read again, time after time.
   */
  run(requests: readonly WaitingRequest[], { syncs = true }: { readonly syncs?: boolean } = {}): GroupAnswer {
    this.#place.assertInPlace();
    const group = new Group();
    try {
      return this.#runTogether(group, requests, syncs);
    } catch (error) {
      if (this.#unreadable >= readingTries) throw error;
      this.#rollBack();
      return requests.length === 1 ? failed(error) : this.#runOneByOne(group, requests, syncs);
    }
  }

  /** Messages that were set aside since this was asked last, by queue. */
  takeDamaged(): readonly DamagedMessages[] {
    if (this.#damaged.length === 0) return [];
    const damaged = this.#damaged;
    this.#damaged = [];
    return Array.from(
      Map.groupBy(damaged, ({ queue }) => queue),
      ([queue, messages]) => ({
        queue,
        name: this.#catalog.nameOf(queue),
        positions: messages.map(({ position }) => position),
      }),
    );
  }

  /** Puts settlements on disk that were answered before they were, when that is long enough ago. */
  payUp(): void {
    if (this.#owesSince === undefined || performance.now() - this.#owesSince < mostOwedMs) return;
    try {
      this.#transaction((ledger) => ledger.noteAnyway());
    } catch (error) {
      this.#owesSince = performance.now() + owedAgainMs;
      this.#rollBack();
      throw error;
    }
  }

  /** How long until `payUp` has something to do, ms; `undefined`: nothing is owed. */
  owedForMs(): number | undefined {
    if (this.#owesSince === undefined) return undefined;
    return Math.max(0, this.#owesSince + mostOwedMs - performance.now());
  }

  /** Does one slice of what needs doing while nothing waits; answers whether there may be more. */
  tidyUp(): boolean {
    if (needsCleanUp(this.#ledger())) {
      this.#cleanUp();
      return true;
    }
    return this.#checkpoint(Math.ceil(this.#tuning.checkpointPages / 4));
  }

  /** Does what can be put off no longer. */
  keepUp(): void {
    // Slice by slice until no more waits than the time before: whoever makes more than one of them at once waits for it.
    while (isBehind(this.#ledger())) {
      this.#cleanUp();
      if (this.#ledger().dead.waiting <= this.#leftBehind) break;
    }
    this.#leftBehind = this.#ledger().dead.waiting;
    this.#checkpoint(this.#tuning.checkpointPages);
  }

  /** Leaves nothing to replay. The store is not used afterwards. */
  close(): void {
    try {
      this.#transaction((ledger) => ledger.foldNext());
      this.#checkpointNow("TRUNCATE");
    } finally {
      this.#database.close();
      this.#durability.close();
    }
  }

  #runTogether(group: Group, requests: readonly WaitingRequest[], syncs: boolean): GroupAnswer {
    return this.#transaction((ledger) => {
      const answers = requests.map(({ request, bytes }): Answer => {
        try {
          const result = this.#perform(ledger, group, request, bytes);
          return result === undefined ? done : { result };
        } catch (error) {
          if (isMillraceError(error, "QUEUE_NOT_FOUND", "CATALOG_CONFLICT")) return { failure: failureOf(error) };
          throw error;
        }
      });
      return { answers, standings: standingsOf(ledger, group), bytes: group.bytes };
    }, syncs);
  }

  #runOneByOne(group: Group, requests: readonly WaitingRequest[], syncs: boolean): GroupAnswer {
    group.bytes.reset({ parts: 0, length: 0 });
    const standings = new Map<QueueId, Standing>();
    const answers = requests.flatMap((request) => {
      const mark = group.bytes.mark();
      group.touched.clear();
      try {
        const alone = this.#runTogether(group, [request], syncs);
        for (const standing of alone.standings) standings.set(standing.queue, standing);
        return alone.answers;
      } catch (error) {
        group.bytes.reset(mark);
        this.#rollBack();
        return failed(error).answers;
      }
    });
    return { answers, standings: [...standings.values()], bytes: group.bytes };
  }

  #transaction<T>(body: (ledger: Ledger) => T, syncs = true): T {
    const ledger = this.#ledger();
    this.#durability.makeGood();
    this.#setSyncs(syncs);
    this.#begin.run();
    const result = body(ledger);
    ledger.record();
    try {
      this.#commit.run();
    } catch (error) {
      // A sync that failed may yet turn out to have happened when the file is opened after a crash.
      if (sqliteErrorCode(error) !== "UNAVAILABLE") throw error;
      this.#durability.failed();
      throw new MillraceError("UNKNOWN_OUTCOME", "The disk failed while it stored this", { cause: error });
    }
    if (this.#durability.committed(this.#progress(ledger), syncs)) this.#owesSince = undefined;
    if (ledger.damaged.length > 0) this.#damaged.push(...ledger.damaged.splice(0));
    return result;
  }

  #progress(ledger: Ledger): Omit<Promised, "isDoubtful"> {
    return { position: ledger.nextPosition - 1, nextBatch: ledger.nextBatch, revision: this.#catalog.revision };
  }

  /** What is missing is never given out again under the same numbers: old leases must not fit new messages. */
  #findLoss(ledger: Ledger): Loss | undefined {
    const { position = 0, nextBatch = 0, revision = 0 } = this.#durability.before ?? {};
    const found = this.#progress(ledger);
    if (position <= found.position && revision <= found.revision) return undefined;
    this.#transaction((memory) => memory.skipTo(position, nextBatch));
    return { rows: Math.max(0, position - found.position), revisions: Math.max(0, revision - found.revision) };
  }

  /** Memory as the disk has it. Throws what reading it throws. */
  #ledger(): Ledger {
    if (this.#memory !== undefined) return this.#memory;
    try {
      // SQLite has rolled some failures back by itself.
      if (this.#database.isTransaction) this.#rollback.run();
      this.#tables.log.discard();
      this.#catalog.forget();
      this.#memory = Ledger.read(this.#tables, this.#tuning);
    } catch (error) {
      this.#unreadable += 1;
      throw error;
    }
    this.#unreadable = 0;
    return this.#memory;
  }

  /** What the transaction changed, on disk and in memory, is gone. */
  #rollBack(): void {
    this.#memory = undefined;
    try {
      if (this.#database.isTransaction) this.#rollback.run();
    } catch {
      // It is tried again, and told, before memory is read.
    }
  }

  #setSyncs(syncs: boolean): void {
    if (this.#syncs === syncs) return;
    this.#database.exec(`PRAGMA synchronous = ${syncs ? "FULL" : "NORMAL"}`);
    this.#syncs = syncs;
  }

  #perform(ledger: Ledger, group: Group, request: Request, bytes: Buffer): Results[Operation] {
    switch (request.op) {
      case "send": {
        const known = send(ledger, request, bytes);
        group.touch(request.queue, true, request.now);
        return request.resend ? known : undefined;
      }
      case "lease": {
        const leased = lease(ledger, request, group.bytes);
        group.touch(request.queue, false, request.now);
        return leased;
      }
      case "settle": {
        const { result, woken } = settle(ledger, request);
        if (!request.durable) this.#owesSince ??= performance.now();
        group.touch(request.queue, false, request.now);
        for (const { id } of woken) group.touch(id, true, request.now);
        return result;
      }
      case "extend": {
        const stale = extend(ledger.queue(request.queue), ledger, request.leases, request.endsAt);
        return { stale };
      }
      case "expiredLeases":
        return expiredLeases(ledger, request);
      case "peek":
        return peek(ledger, request, group.bytes);
      case "purge":
        // What was settled before and is not on disk yet would be back after a power failure, though the purge was answered.
        if (this.#owesSince !== undefined) ledger.noteAnyway();
        return { purged: purge(ledger, request.queue) };
      case "purgeByRef":
        return purgeByRef(ledger, ledger.queue(request.queue), request.refs);
      case "metrics": {
        // At this very point of the group: what a group's standings tell may include what came after.
        const queue = ledger.queue(request.queue);
        forgetIds(ledger, request.now); // somebody asks for metrics all the time
        return {
          backlog: queue.backlog(),
          readiness: queue.readiness(request.now),
          accounting: queue.accounting(),
          held: queue.held(),
          setAside: queue.later.setAsideCount(),
        };
      }
      case "verify":
        return verify(ledger, request);
      case "indexIds":
        return indexIds(ledger, request);
      case "sweep":
        return sweep(ledger, ledger.queue(request.queue), request.storedBefore, request.limit);
      case "releaseHolder": {
        const { released, woken } = releaseHolder(ledger, request.holder);
        for (const { id } of woken) group.touch(id, true, request.now);
        return released;
      }
      case "holders":
        return holdersOf(ledger);
      case "survey":
        return surveyOf(ledger, request.now);
      case "beginCopy":
        this.copy = new LiveCopy(this.#database, request.target);
        return undefined;
      case "copyState":
        return this.copy?.state ?? { kind: "failed", failure: { code: "UNAVAILABLE", detail: "No backup was begun" } };
      case "endCopy":
        this.copy?.abort();
        return undefined;
      case "commit":
        return this.#catalog.commit(ledger, request);
      case "loadCatalog":
        return this.#catalog.load();
      case "readAudit":
        return this.#catalog.readAudit(request.limit, request.before);
      case "putBlob":
        this.#catalog.putBlob(request.key, bytes.subarray(request.bytes.from, request.bytes.to));
        return undefined;
      case "getBlob":
        return this.#catalog.blob(request.key, group.bytes);
      case "keepBlobs":
        return this.#catalog.keepBlobs(request.keep);
      default:
        return request satisfies never;
    }
  }

  #cleanUp(): void {
    try {
      // Nothing anybody was told depends on this commit, and the next one that matters syncs it too.
      this.#transaction(cleanUp, false);
    } catch (error) {
      this.#rollBack();
      throw error;
    }
  }

  #checkpoint(atPages: number): boolean {
    const [, pages, checkpointed] = this.#walPages.first() ?? [0, 0, 0];
    if (pages - checkpointed < atPages) return false;
    this.#checkpointNow("PASSIVE");
    return true;
  }

  #checkpointNow(mode: "PASSIVE" | "TRUNCATE"): void {
    this.#durability.makeGood();
    try {
      this.#database.exec(`PRAGMA wal_checkpoint(${mode})`);
    } catch (error) {
      this.#durability.failed();
      throw error;
    }
  }
}

function standingsOf(ledger: Ledger, group: Group): Standing[] {
  const standings: Standing[] = [];
  for (const [id, isWoken] of group.touched) {
    if (!ledger.hasQueue(id)) continue;
    const queue = ledger.queue(id);
    standings.push({ queue: id, backlog: queue.backlog(), readiness: queue.readiness(group.now), isWoken });
  }
  return standings;
}

function failed(error: unknown): GroupAnswer {
  return { answers: [{ failure: failureOf(error) }], standings: [], bytes: new AnswerBytes() };
}

function failureOf(error: unknown): Failure {
  if (error instanceof MillraceError) return { code: error.code, detail: error.detail };
  const code = sqliteErrorCode(error) ?? "INTERNAL";
  return { code, detail: `The storage engine failed: ${error instanceof Error ? error.message : String(error)}` };
}

function holdersOf(ledger: Ledger): Holder[] {
  const holders = new Set<Holder>();
  for (const queue of ledger.queues()) for (const { holder } of queue.leases.batches()) holders.add(holder);
  return [...holders];
}

function surveyOf(ledger: Ledger, now: EpochMs): QueueSurvey[] {
  const survey: QueueSurvey[] = [];
  for (const queue of ledger.queues()) {
    if (queue.counters.count === 0) continue;
    survey.push({ queue: queue.id, backlog: queue.backlog(), readiness: queue.readiness(now) });
  }
  return survey;
}
