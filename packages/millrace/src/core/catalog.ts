// What the account holds beside messages: queues, consumers, Workers, versions, deployments, secrets, tokens, subscriptions.
// Records as they are stored (plain JSON, units in the names), and a read-only view over one snapshot of them.
// A change is decided as data by functions over the view; the control plane commits it.

import type { CatalogOperation, CatalogSnapshot, Json } from "./catalog-store.ts";
import type { ConsumerId, QueueId, QueueName, VersionId, WorkerName } from "./identity.ts";

/** A queue named by somebody else's setting: found by id while that queue exists, else by name. */
export interface QueueReference {
  readonly queue_id: QueueId | null;
  readonly queue_name: QueueName;
}

export interface QueueRecord {
  readonly id: QueueId;
  readonly name: QueueName;
  readonly created_at_ms: number;
  readonly modified_at_ms: number;
  readonly delivery_delay_s: number;
  readonly retention_s: number;
  readonly paused: boolean;
  /** Sends are refused beyond this backlog. */
  readonly backlog_limit_bytes: number;
  /** Messages accepted a second; `null`: as many as come. */
  readonly messages_per_second: number | null;
  readonly jurisdiction: "eu" | "us" | "fedramp" | null;
}

interface ConsumerBase {
  readonly id: ConsumerId;
  readonly queue_id: QueueId;
  readonly created_at_ms: number;
  readonly max_retries: number;
  readonly retry_delay_s: number;
  readonly dead_letter_queue: QueueReference | null;
}

/** Push: a Worker's queue handler. */
export interface WorkerConsumerRecord extends ConsumerBase {
  readonly type: "worker";
  readonly script: WorkerName;
  readonly environment: string | null;
  readonly batch_size: number;
  readonly max_wait_ms: number;
  /** `null`: automatic. */
  readonly max_concurrency: number | null;
}

/** Pull: clients over HTTP. */
export interface PullConsumerRecord extends ConsumerBase {
  readonly type: "http_pull";
  readonly batch_size: number;
  readonly visibility_timeout_ms: number;
}

export type ConsumerRecord = WorkerConsumerRecord | PullConsumerRecord;

export type ModuleKind = "esm" | "commonjs" | "service-worker" | "text" | "data" | "wasm" | "json" | "source-map";

export interface ModuleRecord {
  /** Path as uploaded, for example `index.js` or `lib/data.bin`; validated, never absolute, never escaping. */
  readonly name: string;
  readonly kind: ModuleKind;
  /** Key of the blob with its bytes. */
  readonly blob: string;
  readonly bytes: number;
}

export type BindingRecord =
  | {
      readonly type: "queue";
      readonly name: string;
      readonly queue: QueueReference;
      readonly delivery_delay_s: number | null;
    }
  | { readonly type: "plain_text"; readonly name: string; readonly text: string }
  | { readonly type: "json"; readonly name: string; readonly json: Json }
  | { readonly type: "secret_text"; readonly name: string; readonly text: string }
  | { readonly type: "text_blob" | "data_blob" | "wasm_module"; readonly name: string; readonly part: string }
  | { readonly type: "version_metadata"; readonly name: string };

/** One uploaded version of a Worker; never changed once stored. */
export interface VersionRecord {
  readonly id: VersionId;
  readonly worker: WorkerName;
  /** 1, 2, 3, … within the Worker. */
  readonly number: number;
  readonly created_at_ms: number;
  readonly main_module: string;
  readonly modules: readonly ModuleRecord[];
  readonly compatibility_date: string;
  readonly compatibility_flags: readonly string[];
  readonly bindings: readonly BindingRecord[];
  /** Which handlers the script exports, found by starting it: `fetch`, `queue`, `scheduled`, … */
  readonly handlers: readonly string[];
  readonly annotations: { readonly [key: string]: string };
  /** Uploaded settings that this server keeps and echoes but does not act on. */
  readonly kept: { readonly [key: string]: Json };
  readonly etag: string;
  readonly startup_ms: number;
}

export interface DeploymentRecord {
  readonly id: string;
  readonly created_at_ms: number;
  readonly source: string;
  readonly strategy: "percentage";
  readonly versions: readonly { readonly version_id: VersionId; readonly percentage: number }[];
  readonly annotations: { readonly [key: string]: string };
}

/** Where a Worker's own process listens, beside the port that all Workers share. */
export interface ListenAddress {
  /** An IP address or a host name. */
  readonly host: string;
  /** 1 to 65535. */
  readonly port: number;
}

export interface WorkerRecord {
  readonly name: WorkerName;
  /** 32 hex digits; new for a Worker that is deleted and deployed again. */
  readonly tag: string;
  readonly created_at_ms: number;
  readonly modified_at_ms: number;
  /** Newest first; the first is the one that runs. Empty: uploaded, never deployed. */
  readonly deployments: readonly DeploymentRecord[];
  /** Number of the newest version. */
  readonly last_version: number;
  readonly subdomain: { readonly enabled: boolean; readonly previews_enabled: boolean };
  readonly tags: readonly string[];
  /** Script settings kept and echoed: observability, logpush, tail_consumers, … */
  readonly settings: { readonly [key: string]: Json };
  /** Its own port; absent: it has none. */
  readonly listen?: ListenAddress;
}

export interface TokenRecord {
  readonly id: string;
  readonly name: string;
  /** SHA-256 of the token, hex. The token itself is not stored. */
  readonly sha256: string;
  readonly scopes: readonly string[];
  /** Names of the queues it is good for; `null`: all. */
  readonly queues: readonly QueueName[] | null;
  readonly created_at_ms: number;
  readonly expires_at_ms: number | null;
}

export interface SubscriptionRecord {
  readonly id: string;
  readonly name: string;
  readonly enabled: boolean;
  readonly events: readonly string[];
  readonly source: { readonly [key: string]: Json };
  readonly queue_id: QueueId;
  readonly created_at_ms: number;
  readonly modified_at_ms: number;
}

/** Kinds of records, how each is keyed. */
export interface CatalogKinds {
  /** by id */
  readonly queue: QueueRecord;
  /** by id */
  readonly consumer: ConsumerRecord;
  /** by name */
  readonly worker: WorkerRecord;
  /** by id */
  readonly version: VersionRecord;
  /** by id */
  readonly token: TokenRecord;
  /** by id */
  readonly subscription: SubscriptionRecord;
}

export type CatalogKind = keyof CatalogKinds;

export function putRecord<K extends CatalogKind>(kind: K, key: string, value: CatalogKinds[K]): CatalogOperation {
  // Records are interfaces, which TypeScript does not take for index-signature JSON though their fields are JSON.
  return { kind: "put", record: { kind, key, value: value as unknown as Json } };
}

export function deleteRecord(kind: CatalogKind, key: string): CatalogOperation {
  return { kind: "delete", record: { kind, key } };
}

/** One snapshot of the catalog, indexed. Never changes; a commit yields a new one. */
export class CatalogView {
  readonly revision: number;
  readonly #records: ReadonlyMap<string, ReadonlyMap<string, unknown>>;
  readonly #queuesByName: ReadonlyMap<string, QueueRecord>;
  readonly #consumersByQueue: ReadonlyMap<string, readonly ConsumerRecord[]>;

  private constructor(revision: number, records: ReadonlyMap<string, ReadonlyMap<string, unknown>>) {
    this.revision = revision;
    this.#records = records;
    this.#queuesByName = new Map(this.all("queue").map((queue) => [queue.name, queue]));
    const byQueue = new Map<string, ConsumerRecord[]>();
    for (const consumer of this.all("consumer")) {
      const siblings = byQueue.get(consumer.queue_id);
      if (siblings === undefined) byQueue.set(consumer.queue_id, [consumer]);
      else siblings.push(consumer);
    }
    this.#consumersByQueue = byQueue;
  }

  static of(snapshot: CatalogSnapshot): CatalogView {
    const records = new Map<string, Map<string, unknown>>();
    for (const record of snapshot.records) {
      let kind = records.get(record.kind);
      if (kind === undefined) records.set(record.kind, (kind = new Map()));
      kind.set(record.key, record.value);
    }
    return new CatalogView(snapshot.revision, records);
  }

  /** The view after these operations were committed as `revision`. */
  with(operations: readonly CatalogOperation[], revision: number): CatalogView {
    const records = new Map(this.#records);
    const copied = new Set<string>();
    for (const operation of operations) {
      if (operation.kind !== "put" && operation.kind !== "delete") continue;
      const { kind, key } = operation.record;
      let changed: Map<string, unknown>;
      if (copied.has(kind)) {
        changed = records.get(kind) as Map<string, unknown>;
      } else {
        changed = new Map(records.get(kind));
        records.set(kind, changed);
        copied.add(kind);
      }
      if (operation.kind === "put") changed.set(key, operation.record.value);
      else changed.delete(key);
    }
    return new CatalogView(revision, records);
  }

  get<K extends CatalogKind>(kind: K, key: string): CatalogKinds[K] | undefined {
    return this.#records.get(kind)?.get(key) as CatalogKinds[K] | undefined;
  }

  /** All of a kind, in the order they were first stored. */
  all<K extends CatalogKind>(kind: K): readonly CatalogKinds[K][] {
    return [...(this.#records.get(kind)?.values() ?? [])] as CatalogKinds[K][];
  }

  queueByName(name: string): QueueRecord | undefined {
    return this.#queuesByName.get(name);
  }

  /** The queue a reference means now. */
  resolve(reference: QueueReference): QueueRecord | undefined {
    const byId = reference.queue_id === null ? undefined : this.get("queue", reference.queue_id);
    return byId ?? this.queueByName(reference.queue_name);
  }

  /** A queue's consumers: none or one today; nothing stored assumes it stays so. */
  consumersOf(queue: QueueId): readonly ConsumerRecord[] {
    return this.#consumersByQueue.get(queue) ?? [];
  }

  consumersOfWorker(name: WorkerName): readonly WorkerConsumerRecord[] {
    return this.all("consumer").filter(
      (consumer): consumer is WorkerConsumerRecord => consumer.type === "worker" && consumer.script === name,
    );
  }

  /** Workers whose running version has a binding that sends to the queue, each once. */
  producersOf(queue: QueueId): readonly WorkerName[] {
    return this.all("worker")
      .filter((worker) =>
        this.runningVersions(worker).some((version) =>
          version.bindings.some((binding) => binding.type === "queue" && this.resolve(binding.queue)?.id === queue),
        ),
      )
      .map((worker) => worker.name);
  }

  versionsOf(name: WorkerName): readonly VersionRecord[] {
    return this.all("version").filter((version) => version.worker === name);
  }

  /** The versions of the newest deployment, the one with the largest share first. */
  runningVersions(worker: WorkerRecord): readonly VersionRecord[] {
    const shares = (worker.deployments[0]?.versions ?? []).toSorted((a, b) => b.percentage - a.percentage);
    return shares.flatMap(({ version_id }) => this.get("version", version_id) ?? []);
  }
}
