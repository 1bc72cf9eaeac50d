// The catalog's tables: records, audit log, blobs, one revision.

import type { DatabaseSync } from "node:sqlite";
import { epochMs, MillraceError } from "../../../core/index.ts";
import type { QueueId } from "../../../core/index.ts";
import type { AnswerBytes } from "../answer-bytes.ts";
import type { Ledger } from "../ledger.ts";
import type { CommitMessage, Results, Slice } from "../protocol.ts";
import { Query } from "../sql.ts";

/** Older entries of the audit log are deleted. */
const auditEntriesKept = 100_000;

export class CatalogTables {
  readonly #revision: Query<readonly [revision: number]>;
  readonly #setRevision: Query;
  readonly #records: Query<readonly [kind: string, key: string, json: string]>;
  readonly #putRecord: Query;
  readonly #deleteRecord: Query;
  readonly #addAudit: Query;
  readonly #pruneAudit: Query;
  readonly #audit: Query<
    readonly [number: number, at: number, action: string, actor: string, resource: string, json: string]
  >;
  readonly #putBlob: Query;
  readonly #blob: Query<readonly [bytes: Uint8Array]>;
  readonly #blobKeys: Query<readonly [key: string]>;
  readonly #deleteBlob: Query;
  #known: number | undefined;

  constructor(database: DatabaseSync) {
    this.#revision = new Query(database, "SELECT revision FROM catalog");
    this.#setRevision = new Query(database, "UPDATE catalog SET revision = ?");
    this.#records = new Query(database, "SELECT kind, key, value FROM records ORDER BY number");
    // Not REPLACE, which would give the record a new number and with it another place in the order.
    this.#putRecord = new Query(
      database,
      "INSERT INTO records (kind, key, value) VALUES (?, ?, ?) ON CONFLICT (kind, key) DO UPDATE SET value = excluded.value",
    );
    this.#deleteRecord = new Query(database, "DELETE FROM records WHERE kind = ? AND key = ?");
    this.#addAudit = new Query(
      database,
      "INSERT INTO audit (at_ms, action, actor, resource, details) VALUES (?, ?, ?, ?, ?)",
    );
    this.#pruneAudit = new Query(
      database,
      `DELETE FROM audit WHERE number <= (SELECT max(number) FROM audit) - ${auditEntriesKept}`,
    );
    this.#audit = new Query(
      database,
      "SELECT number, at_ms, action, actor, resource, details FROM audit WHERE number < ? ORDER BY number DESC LIMIT ?",
    );
    this.#putBlob = new Query(database, "INSERT OR IGNORE INTO blobs (key, bytes) VALUES (?, ?)");
    this.#blob = new Query(database, "SELECT bytes FROM blobs WHERE key = ?");
    this.#blobKeys = new Query(database, "SELECT key FROM blobs");
    this.#deleteBlob = new Query(database, "DELETE FROM blobs WHERE key = ?");
  }

  /** As it is within the transaction under way. */
  get revision(): number {
    this.#known ??= this.#revision.first()?.[0] ?? 0;
    return this.#known;
  }

  /** A transaction was rolled back: the revision is to be read again. */
  forget(): void {
    this.#known = undefined;
  }

  load(): Results["loadCatalog"] {
    const records = this.#records.all().map(([kind, key, json]) => ({ kind, key, json }));
    return { revision: this.revision, records };
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
          this.#putRecord.run(operation.record.kind, operation.record.key, operation.record.json);
          break;
        case "delete":
          this.#deleteRecord.run(operation.record.kind, operation.record.key);
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
    for (const { at, action, actor, resource, json } of change.audit)
      this.#addAudit.run(at, action, actor, resource, json);
    if (change.audit.length > 0) this.#pruneAudit.run();
    this.#setRevision.run(current + 1);
    this.#known = current + 1;
    return current + 1;
  }

  readAudit(limit: number, before: number | undefined): Results["readAudit"] {
    return this.#audit
      .all(before ?? Number.MAX_SAFE_INTEGER, limit)
      .map(([number, at, action, actor, resource, json]) => ({
        number,
        at: epochMs(at),
        action,
        actor,
        resource,
        json,
      }));
  }

  putBlob(key: string, bytes: Uint8Array): void {
    this.#putBlob.run(key, bytes);
  }

  blob(key: string, bytes: AnswerBytes): Slice | undefined {
    const row = this.#blob.first(key);
    return row === undefined ? undefined : bytes.add(row[0]);
  }

  keepBlobs(keep: ReadonlySet<string>): number {
    const doomed = this.#blobKeys.all().filter(([key]) => !keep.has(key));
    for (const [key] of doomed) this.#deleteBlob.run(key);
    return doomed.length;
  }
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
