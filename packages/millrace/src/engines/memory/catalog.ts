// The catalog in memory. Values are copied on the way in and out: nobody outside holds what is stored.

import { MillraceError } from "../../core/index.ts";
import type {
  AuditEntry,
  CatalogChange,
  CatalogOperation,
  CatalogRecord,
  CatalogSnapshot,
  CatalogStore,
  QueueId,
} from "../../core/index.ts";

/** Where the engine keeps queues' messages. */
interface QueueRooms {
  exists(queue: QueueId): boolean;
  create(queue: QueueId): void;
  drop(queue: QueueId): void;
}

export class MemoryCatalog implements CatalogStore {
  readonly #assertOpen: () => void;
  readonly #rooms: QueueRooms;
  readonly #records = new Map<string, CatalogRecord>();
  readonly #blobs = new Map<string, Uint8Array>();
  readonly #audit: (AuditEntry & { readonly number: number })[] = [];
  readonly #listeners = new Set<(revision: number) => void>();
  #revision = 0;

  constructor(assertOpen: () => void, rooms: QueueRooms) {
    this.#assertOpen = assertOpen;
    this.#rooms = rooms;
  }

  async load(): Promise<CatalogSnapshot> {
    this.#assertOpen();
    return { revision: this.#revision, records: structuredClone([...this.#records.values()]) };
  }

  async commit(change: CatalogChange): Promise<number> {
    this.#assertOpen();
    if (change.expectedRevision !== this.#revision) {
      throw new MillraceError(
        "CATALOG_CONFLICT",
        `The settings are at revision ${this.#revision}, not ${change.expectedRevision}`,
      );
    }
    this.#assertRooms(change.operations);
    for (const operation of structuredClone(change.operations)) this.#apply(operation);
    for (const entry of structuredClone(change.audit)) this.#audit.push({ ...entry, number: this.#audit.length + 1 });
    this.#revision += 1;
    const revision = this.#revision;
    queueMicrotask(() => {
      for (const listener of this.#listeners) listener(revision);
    });
    return revision;
  }

  onChange(listener: (revision: number) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  async readAudit(options: {
    readonly limit: number;
    readonly before?: number | undefined;
  }): Promise<readonly (AuditEntry & { readonly number: number })[]> {
    this.#assertOpen();
    const end = Math.max(0, Math.min(this.#audit.length, (options.before ?? Number.POSITIVE_INFINITY) - 1));
    return structuredClone(this.#audit.slice(Math.max(0, end - options.limit), end)).toReversed();
  }

  async putBlob(key: string, bytes: Uint8Array): Promise<void> {
    this.#assertOpen();
    this.#blobs.set(key, bytes.slice());
  }

  async getBlob(key: string): Promise<Uint8Array | undefined> {
    this.#assertOpen();
    return this.#blobs.get(key)?.slice();
  }

  async keepBlobs(keep: ReadonlySet<string>): Promise<number> {
    this.#assertOpen();
    const doomed = [...this.#blobs.keys()].filter((key) => !keep.has(key));
    for (const key of doomed) this.#blobs.delete(key);
    return doomed.length;
  }

  /** Creating a queue twice is a defect of the caller; dropping one that is gone is an answer. */
  #assertRooms(operations: readonly CatalogOperation[]): void {
    const changed = new Map<QueueId, boolean>();
    for (const operation of operations) {
      if (operation.kind !== "createQueue" && operation.kind !== "dropQueue") continue;
      const { queue } = operation;
      const exists = changed.get(queue) ?? this.#rooms.exists(queue);
      if (operation.kind === "createQueue" && exists) {
        throw new MillraceError("INTERNAL", `Room for queue ${queue} was made already`);
      }
      if (operation.kind === "dropQueue" && !exists) {
        throw new MillraceError("QUEUE_NOT_FOUND", `Queue ${queue} does not exist`);
      }
      changed.set(queue, operation.kind === "createQueue");
    }
  }

  #apply(operation: CatalogOperation): void {
    switch (operation.kind) {
      case "put":
        this.#records.set(recordKey(operation.record), operation.record);
        return;
      case "delete":
        this.#records.delete(recordKey(operation.record));
        return;
      case "createQueue":
        this.#rooms.create(operation.queue);
        return;
      case "dropQueue":
        this.#rooms.drop(operation.queue);
        return;
      default:
        operation satisfies never;
    }
  }
}

function recordKey(record: { readonly kind: string; readonly key: string }): string {
  return JSON.stringify([record.kind, record.key]);
}
