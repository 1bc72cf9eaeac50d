// The catalog's tables: records, audit log, blobs, one revision.

import type { DatabaseSync } from "node:sqlite";
import { epochMs, MillraceError } from "../../../core/index.ts";
import type { QueueId } from "../../../core/index.ts";
import type { AnswerBytes } from "../answer-bytes.ts";
import type { Ledger } from "../ledger.ts";
import type { CommitMessage, Results, Slice, StoredRecord } from "../protocol.ts";
import { Query } from "../sql.ts";
import { assertWhole, sumOf } from "../sums.ts";

/** Older entries of the audit log are deleted. */
const auditEntriesKept = 100_000;

export class CatalogTables {
  readonly #head: Query<readonly [revision: number, records: number, sum: number]>;
  readonly #setHead: Query;
  readonly #countRecords: Query<readonly [count: number]>;
  readonly #records: Query<readonly [number: number, kind: string, key: string, json: string, sum: number]>;
  readonly #copies: Query<readonly [number: number, kind: string, key: string, json: string, sum: number]>;
  readonly #numberOf: Query<readonly [number: number]>;
  readonly #lastNumber: Query<readonly [number: number | null]>;
  readonly #put: readonly Query[];
  readonly #delete: readonly Query[];
  readonly #addAudit: Query;
  readonly #lastAudit: Query<readonly [number: number | null]>;
  readonly #pruneAudit: Query;
  readonly #audit: Query<
    readonly [number: number, at: number, action: string, actor: string, resource: string, json: string, sum: number]
  >;
  readonly #putBlob: Query;
  readonly #blob: Query<readonly [bytes: Uint8Array, sum: number]>;
  readonly #blobKeys: Query<readonly [key: string]>;
  readonly #deleteBlob: Query;
  #known: number | undefined;

  constructor(database: DatabaseSync) {
    this.#head = new Query(database, "SELECT revision, records, sum FROM catalog");
    this.#setHead = new Query(database, "UPDATE catalog SET revision = ?, records = ?, sum = ?");
    this.#countRecords = new Query(database, "SELECT count(*) FROM records");
    this.#records = new Query(database, "SELECT number, kind, key, value, sum FROM records ORDER BY number");
    this.#copies = new Query(database, "SELECT number, kind, key, value, sum FROM record_copies ORDER BY number");
    this.#numberOf = new Query(database, "SELECT number FROM records WHERE kind = ? AND key = ?");
    this.#lastNumber = new Query(database, "SELECT max(number) FROM records");
    // Each stands in two tables: what is damaged in one of them is still there in the other.
    this.#put = ["records", "record_copies"].map(
      (table) =>
        new Query(database, `INSERT OR REPLACE INTO ${table} (number, kind, key, value, sum) VALUES (?, ?, ?, ?, ?)`),
    );
    this.#delete = ["records", "record_copies"].map(
      (table) => new Query(database, `DELETE FROM ${table} WHERE number = ?`),
    );
    this.#addAudit = new Query(
      database,
      "INSERT INTO audit (number, at_ms, action, actor, resource, details, sum) VALUES (?, ?, ?, ?, ?, ?, ?)",
    );
    this.#lastAudit = new Query(database, "SELECT max(number) FROM audit");
    this.#pruneAudit = new Query(
      database,
      `DELETE FROM audit WHERE number <= (SELECT max(number) FROM audit) - ${auditEntriesKept}`,
    );
    this.#audit = new Query(
      database,
      "SELECT number, at_ms, action, actor, resource, details, sum FROM audit WHERE number < ? ORDER BY number DESC LIMIT ?",
    );
    this.#putBlob = new Query(database, "INSERT OR IGNORE INTO blobs (key, bytes, sum) VALUES (?, ?, ?)");
    this.#blob = new Query(database, "SELECT bytes, sum FROM blobs WHERE key = ?");
    this.#blobKeys = new Query(database, "SELECT key FROM blobs");
    this.#deleteBlob = new Query(database, "DELETE FROM blobs WHERE key = ?");
  }

  /** As it is within the transaction under way. */
  get revision(): number {
    this.#known ??= this.#readHead().revision;
    return this.#known;
  }

  /** A transaction was rolled back: the revision is to be read again. */
  forget(): void {
    this.#known = undefined;
  }

  /** Throws `DATA_DAMAGED`. */
  load(): Results["loadCatalog"] {
    const rows = this.#records.all();
    assertComplete(rows, this.#readHead().records);
    return { revision: this.revision, records: rows.map(([, kind, key, json]) => ({ kind, key, json })) };
  }

  /** The name that people know a queue by; `undefined`: it cannot be read. */
  nameOf(queue: QueueId): string | undefined {
    try {
      const record = this.load().records.find(({ kind, key }) => kind === "queue" && key === queue);
      const value: unknown = record === undefined ? undefined : JSON.parse(record.json);
      return typeof value === "object" && value !== null && "name" in value ? String(value.name) : undefined;
    } catch {
      return undefined; // it is named by its id
    }
  }

  /** Throws `DATA_DAMAGED` when the settings, or their copies, are not what was stored. */
  assertWhole(): void {
    const { records } = this.#readHead();
    assertComplete(this.#records.all(), records);
    assertComplete(this.#copies.all(), records);
  }

  /** Throws `CATALOG_CONFLICT` and `QUEUE_NOT_FOUND` before anything happens. */
  commit(ledger: Ledger, change: CommitMessage): number {
    const current = this.revision;
    if (change.expectedRevision !== current) {
      throw new MillraceError(
        "CATALOG_CONFLICT",
        `The settings are at revision ${current}, not ${change.expectedRevision}`,
      );
    }
    assertQueues(ledger, change);
    for (const operation of change.operations) {
      switch (operation.kind) {
        case "put":
          this.#putRecord(operation.record);
          break;
        case "delete":
          this.#deleteRecord(operation.record);
          break;
        case "createQueue":
          ledger.createQueue(operation.queue);
          break;
        case "dropQueue":
          ledger.doom(ledger.queue(operation.queue));
          break;
        default:
          operation satisfies never;
      }
    }
    let last = this.#lastAudit.first()?.[0] ?? 0;
    for (const { at, action, actor, resource, json } of change.audit) {
      last += 1;
      this.#addAudit.run(last, at, action, actor, resource, json, sumOf(last, at, action, actor, resource, json));
    }
    if (change.audit.length > 0) this.#pruneAudit.run();
    const records = this.#countRecords.first()?.[0] ?? 0;
    this.#setHead.run(current + 1, records, sumOf(current + 1, records));
    this.#known = current + 1;
    return current + 1;
  }

  readAudit(limit: number, before: number | undefined): Results["readAudit"] {
    return this.#audit
      .all(before ?? Number.MAX_SAFE_INTEGER, limit)
      .map(([number, at, action, actor, resource, json, sum]) => {
        assertWhole(`Entry ${number} of the audit log`, sum, number, at, action, actor, resource, json);
        return { number, at: epochMs(at), action, actor, resource, json };
      });
  }

  putBlob(key: string, bytes: Uint8Array): void {
    this.#putBlob.run(key, bytes, sumOf(key, bytes));
  }

  blob(key: string, bytes: AnswerBytes): Slice | undefined {
    const row = this.#blob.first(key);
    if (row === undefined) return undefined;
    const [content, sum] = row;
    assertWhole(`The file ${key} of a Worker`, sum, key, content);
    return bytes.add(content);
  }

  keepBlobs(keep: ReadonlySet<string>): number {
    const doomed = this.#blobKeys.all().filter(([key]) => !keep.has(key));
    for (const [key] of doomed) this.#deleteBlob.run(key);
    return doomed.length;
  }

  #readHead(): { readonly revision: number; readonly records: number } {
    const [revision = 0, records = 0, sum = 0] = this.#head.first() ?? [];
    assertWhole("The revision of the settings", sum, revision, records);
    return { revision, records };
  }

  #putRecord({ kind, key, json }: StoredRecord): void {
    // A record keeps its number, and with it its place in the order.
    const number = this.#numberOf.first(kind, key)?.[0] ?? (this.#lastNumber.first()?.[0] ?? 0) + 1;
    for (const query of this.#put) query.run(number, kind, key, json, sumOf(number, kind, key, json));
  }

  #deleteRecord({ kind, key }: Pick<StoredRecord, "kind" | "key">): void {
    const [number] = this.#numberOf.first(kind, key) ?? [];
    if (number !== undefined) for (const query of this.#delete) query.run(number);
  }
}

function assertComplete(
  rows: readonly (readonly [number: number, kind: string, key: string, json: string, sum: number])[],
  count: number,
): void {
  if (rows.length !== count) throw new MillraceError("DATA_DAMAGED", `Of ${count} settings ${rows.length} are there`);
  for (const [number, kind, key, json, sum] of rows)
    assertWhole(`A setting (${kind} ${key})`, sum, number, kind, key, json);
}

/** Creating a queue twice is a defect of the caller; dropping one that is gone is an answer. */
function assertQueues(ledger: Ledger, change: CommitMessage): void {
  const changed = new Map<QueueId, boolean>();
  for (const operation of change.operations) {
    if (operation.kind !== "createQueue" && operation.kind !== "dropQueue") continue;
    const { queue } = operation;
    const exists = changed.get(queue) ?? ledger.hasQueue(queue);
    if (operation.kind === "createQueue" && exists)
      throw new MillraceError("INTERNAL", `Room for queue ${queue} was made already`);
    if (operation.kind === "dropQueue" && !exists)
      throw new MillraceError("QUEUE_NOT_FOUND", `Queue ${queue} does not exist`);
    changed.set(queue, operation.kind === "createQueue");
  }
}
