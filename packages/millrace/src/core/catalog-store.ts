// The seam for everything that is not a message: queues, consumers, Workers, tokens, … as small JSON records.
//
// One revision counts all changes. A change says which revision it was decided on, and fails with `CATALOG_CONFLICT` when
// another change came first, so a decision taken on a snapshot is either applied to exactly that snapshot or not at all.

import type { QueueId } from "./identity.ts";
import type { EpochMs } from "./time.ts";

export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json | undefined };

export interface CatalogRecord {
  /** For example `queue`; see `catalog.ts`. */
  readonly kind: string;
  /** Unique within the kind. */
  readonly key: string;
  readonly value: Json;
}

export type CatalogOperation =
  | { readonly kind: "put"; readonly record: CatalogRecord }
  | { readonly kind: "delete"; readonly record: { readonly kind: string; readonly key: string } }
  /** Makes room for a queue's messages. */
  | { readonly kind: "createQueue"; readonly queue: QueueId }
  /** Deletes a queue's messages, in the background where they are many; gone for every reader at once. */
  | { readonly kind: "dropQueue"; readonly queue: QueueId };

/** One line of the audit log. */
export interface AuditEntry {
  readonly at: EpochMs;
  /** For example `CreateQueue`. */
  readonly action: string;
  /** Who: a token's name, or `server`. */
  readonly actor: string;
  /** What it was done to, for example a queue's name. */
  readonly resource: string;
  readonly details: Json;
}

export interface CatalogChange {
  /** The revision the change was decided on. */
  readonly expectedRevision: number;
  readonly operations: readonly CatalogOperation[];
  /** Written in the same step. */
  readonly audit: readonly AuditEntry[];
}

export interface CatalogSnapshot {
  readonly revision: number;
  readonly records: readonly CatalogRecord[];
}

export interface CatalogStore {
  /** All records; a few megabytes at the most, since bodies and modules are not in here. */
  load(): Promise<CatalogSnapshot>;

  /**
   * Applies all operations and the audit entries, or nothing. Answers the new revision.
   * Throws `CATALOG_CONFLICT` when `expectedRevision` is not the current one.
   */
  commit(change: CatalogChange): Promise<number>;

  /** Calls back after a change by anybody, with the new revision. A hint that may be lost. Returns the way to stop. */
  onChange(listener: (revision: number) => void): () => void;

  /** Newest first, at most `limit` (1 to 1000), those before entry number `before` if given. */
  readAudit(options: {
    readonly limit: number;
    readonly before?: number | undefined;
  }): Promise<readonly (AuditEntry & { readonly number: number })[]>;

  /** Stores bytes under their key (a content hash, so the same key always means the same bytes). May be repeated. */
  putBlob(key: string, bytes: Uint8Array): Promise<void>;

  /** `undefined` when there is none. */
  getBlob(key: string): Promise<Uint8Array | undefined>;

  /** Deletes all blobs whose key is not in `keep`; answers how many. */
  keepBlobs(keep: ReadonlySet<string>): Promise<number>;
}
