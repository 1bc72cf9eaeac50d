// The catalog as the server's thread sees it: values travel as JSON text, blobs as bytes.

import type {
  AuditEntry,
  CatalogChange,
  CatalogOperation,
  CatalogSnapshot,
  CatalogStore,
  Json,
} from "../../core/index.ts";
import type { Results, StoredOperation } from "./protocol.ts";
import type { StoreLink } from "./thread-link.ts";

export class SqliteCatalog implements CatalogStore {
  readonly #link: StoreLink;
  readonly #listeners = new Set<(revision: number) => void>();

  constructor(link: StoreLink) {
    this.#link = link;
  }

  async load(): Promise<CatalogSnapshot> {
    const { result } = await this.#link.ask(0, () => ({ op: "loadCatalog" }));
    const { revision, records } = result as Results["loadCatalog"];
    return { revision, records: records.map(({ kind, key, json }) => ({ kind, key, value: parse(json) })) };
  }

  async commit(change: CatalogChange): Promise<number> {
    // Encoded now: the caller may go on to change what it gave.
    const operations = change.operations.map(stored);
    const audit = change.audit.map(({ at, action, actor, resource, details }) => ({
      at,
      action,
      actor,
      resource,
      json: JSON.stringify(details),
    }));
    const { expectedRevision } = change;
    const { result } = await this.#link.ask(0, () => ({ op: "commit", expectedRevision, operations, audit }));
    const revision = result as Results["commit"];
    for (const listener of this.#listeners) listener(revision);
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
    const { limit, before } = options;
    const { result } = await this.#link.ask(0, () => ({ op: "readAudit", limit, before }));
    return (result as Results["readAudit"]).map(({ number, at, action, actor, resource, json }) => ({
      number,
      at,
      action,
      actor,
      resource,
      details: parse(json),
    }));
  }

  async putBlob(key: string, bytes: Uint8Array): Promise<void> {
    await this.#link.ask(bytes.length, (buffer, from) => {
      buffer.set(bytes, from);
      return { op: "putBlob", key, bytes: { from, to: from + bytes.length } };
    });
  }

  async getBlob(key: string): Promise<Uint8Array | undefined> {
    const { result, bytes } = await this.#link.ask(0, () => ({ op: "getBlob", key }));
    const slice = result as Results["getBlob"];
    return slice === undefined ? undefined : new Uint8Array(bytes.subarray(slice.from, slice.to));
  }

  async keepBlobs(keep: ReadonlySet<string>): Promise<number> {
    const kept = new Set(keep);
    const { result } = await this.#link.ask(0, () => ({ op: "keepBlobs", keep: kept }));
    return result as Results["keepBlobs"];
  }
}

function stored(operation: CatalogOperation): StoredOperation {
  if (operation.kind !== "put") return operation;
  const { kind, key, value } = operation.record;
  return { kind: "put", record: { kind, key, json: JSON.stringify(value) } };
}

function parse(json: string): Json {
  return JSON.parse(json) as Json;
}
