// Decisions on Workers: store a version, deploy one, change settings, delete. Pure over a catalog snapshot.

import { deleteRecord, MillraceError, putRecord } from "../core/index.ts";
import type {
  CatalogOperation,
  CatalogView,
  DeploymentRecord,
  Json,
  ListenAddress,
  VersionId,
  VersionRecord,
  WorkerName,
  WorkerRecord,
} from "../core/index.ts";
import { limits } from "../contract/index.ts";
import { detachWorker } from "./consumers.ts";
import type { CatalogDecision, DecisionContext } from "./control-plane.ts";

/** What is known of a version before it is numbered. */
export type VersionDraft = Omit<VersionRecord, "number" | "created_at_ms">;

export interface DeploymentNote {
  /** For example `wrangler` or `api`. */
  readonly source: string;
  readonly annotations: DeploymentRecord["annotations"];
}

export interface StoreVersion {
  readonly draft: VersionDraft;
  /** The newest version when the draft was made; what it inherits came from there. `undefined`: there was none. */
  readonly basedOn: VersionId | undefined;
  /** Deploys it in the same step; `undefined`: it is only stored. */
  readonly deploy: DeploymentNote | undefined;
  /** Settings of the Worker beside its versions; those absent stay as they are. */
  readonly settings?: WorkerRecord["settings"] | undefined;
  readonly tags?: readonly string[] | undefined;
}

export interface StoredVersion {
  readonly worker: WorkerRecord;
  readonly version: VersionRecord;
}

/**
 * Stores a version that was tried before; makes the Worker if it is new. Throws `CATALOG_CONFLICT` when another version came
 * between, `QUEUE_NOT_FOUND` when a queue it binds is gone, `WORKER_HAS_NO_QUEUE_HANDLER` when it is deployed without a queue
 * handler while the Worker consumes.
 */
export function storeVersion(
  view: CatalogView,
  context: DecisionContext,
  command: StoreVersion,
): CatalogDecision<StoredVersion> {
  const { draft, deploy } = command;
  if (newestVersion(view, draft.worker)?.id !== command.basedOn) {
    throw new MillraceError(
      "CATALOG_CONFLICT",
      `Another version of Worker ${draft.worker} was uploaded at the same moment`,
    );
  }
  requireBoundQueues(view, draft);
  const existing = view.get("worker", draft.worker);
  const number = (existing?.last_version ?? 0) + 1;
  const version: VersionRecord = { ...draft, number, created_at_ms: context.now };
  const base = existing ?? newWorker(draft.worker, context);
  const deployments = deploy === undefined ? base.deployments : withDeployment(view, context, base, version, deploy);
  const worker: WorkerRecord = {
    ...base,
    modified_at_ms: context.now,
    last_version: number,
    deployments,
    settings: { ...base.settings, ...command.settings },
    tags: command.tags ?? base.tags,
  };
  const details = { version_id: version.id, number };
  return {
    operations: [
      putRecord("version", version.id, version),
      putRecord("worker", worker.name, worker),
      ...forgottenVersions(view, worker),
    ],
    audit: [
      { action: "UploadVersion", resource: worker.name, details },
      ...(deploy === undefined ? [] : [{ action: "DeployVersion", resource: worker.name, details }]),
    ],
    result: { worker, version },
  };
}

/** Makes one stored version the one that runs. Throws `WORKER_NOT_FOUND`, `VERSION_NOT_FOUND`, `WORKER_HAS_NO_QUEUE_HANDLER`. */
export function deployVersion(
  view: CatalogView,
  context: DecisionContext,
  command: { readonly worker: WorkerName; readonly version: VersionId; readonly note: DeploymentNote },
): CatalogDecision<DeploymentRecord> {
  const worker = existingWorker(view, command.worker);
  const version = existingVersion(view, worker.name, command.version);
  requireBoundQueues(view, version);
  const deployments = withDeployment(view, context, worker, version, command.note);
  const record: WorkerRecord = { ...worker, modified_at_ms: context.now, deployments };
  return {
    operations: [putRecord("worker", worker.name, record)],
    audit: [
      {
        action: "DeployVersion",
        resource: worker.name,
        details: { version_id: version.id, number: version.number },
      },
    ],
    result: deployments[0] as DeploymentRecord,
  };
}

export interface ChangeWorker {
  readonly name: WorkerName;
  /** Absent ones stay as they are; `null` removes one. */
  readonly settings?: { readonly [key: string]: Json } | undefined;
  readonly tags?: readonly string[] | undefined;
  readonly subdomain?: Partial<WorkerRecord["subdomain"]> | undefined;
}

/** Throws `WORKER_NOT_FOUND`. What changes nothing is not recorded. */
export function changeWorker(
  view: CatalogView,
  context: DecisionContext,
  command: ChangeWorker,
): CatalogDecision<WorkerRecord> {
  const worker = existingWorker(view, command.name);
  const settings = Object.entries({ ...worker.settings, ...command.settings }).filter(([, value]) => value !== null);
  const record: WorkerRecord = {
    ...worker,
    settings: Object.fromEntries(settings),
    tags: command.tags ?? worker.tags,
    subdomain: { ...worker.subdomain, ...command.subdomain },
  };
  if (JSON.stringify(record) === JSON.stringify(worker)) return { operations: [], audit: [], result: worker };
  return {
    operations: [putRecord("worker", worker.name, { ...record, modified_at_ms: context.now })],
    audit: [{ action: "UpdateWorker", resource: worker.name, details: {} }],
    result: record,
  };
}

/** Throws `PORT_UNAVAILABLE` when another Worker has the port. */
export function requireFreePort(view: CatalogView, name: WorkerName, port: number): void {
  const owner = view.all("worker").find((worker) => worker.name !== name && worker.listen?.port === port);
  if (owner === undefined) return;
  throw new MillraceError("PORT_UNAVAILABLE", `Port ${port} is the one of Worker ${owner.name}`);
}

/**
 * Gives a Worker a port of its own, or with `undefined` takes it away. Throws `WORKER_NOT_FOUND`, and `PORT_UNAVAILABLE` when another
 * Worker has the port. What changes nothing is not recorded.
 */
export function listenWorker(
  view: CatalogView,
  context: DecisionContext,
  command: { readonly name: WorkerName; readonly listen: ListenAddress | undefined },
): CatalogDecision<WorkerRecord> {
  const worker = existingWorker(view, command.name);
  const { listen: before, ...rest } = worker;
  const { listen } = command;
  if (listen !== undefined) requireFreePort(view, worker.name, listen.port);
  if (before?.host === listen?.host && before?.port === listen?.port) {
    return { operations: [], audit: [], result: worker };
  }
  const record: WorkerRecord = { ...rest, modified_at_ms: context.now, ...(listen !== undefined && { listen }) };
  return {
    operations: [putRecord("worker", worker.name, record)],
    audit: [
      {
        action: listen === undefined ? "RemoveWorkerPort" : "SetWorkerPort",
        resource: worker.name,
        details: { ...(listen ?? before) },
      },
    ],
    result: record,
  };
}

/** Deletes a Worker with its versions, and detaches it from every queue it consumes. Throws `WORKER_NOT_FOUND`. */
export function deleteWorker(
  view: CatalogView,
  _context: DecisionContext,
  name: WorkerName,
): CatalogDecision<WorkerRecord> {
  const worker = existingWorker(view, name);
  const consumed = view.consumersOfWorker(name);
  return {
    operations: [
      ...detachWorker(view, name),
      ...view.versionsOf(name).map((version) => deleteRecord("version", version.id)),
      deleteRecord("worker", name),
    ],
    audit: [
      ...consumed.map((consumer) => ({
        action: "RemoveConsumer",
        resource: view.get("queue", consumer.queue_id)?.name ?? consumer.queue_id,
        details: { consumer_id: consumer.id, type: consumer.type, script: name },
      })),
      { action: "DeleteWorker", resource: name, details: { tag: worker.tag } },
    ],
    result: worker,
  };
}

/** Throws `WORKER_NOT_FOUND`. */
export function existingWorker(view: CatalogView, name: string): WorkerRecord {
  const worker = view.get("worker", name);
  if (worker === undefined) throw new MillraceError("WORKER_NOT_FOUND", `Worker ${name.slice(0, 70)} does not exist`);
  return worker;
}

/** Throws `VERSION_NOT_FOUND`. */
export function existingVersion(view: CatalogView, worker: WorkerName, id: string): VersionRecord {
  const version = view.get("version", id);
  if (version?.worker !== worker) {
    throw new MillraceError("VERSION_NOT_FOUND", `Worker ${worker} has no version ${id.slice(0, 60)}`);
  }
  return version;
}

/** The version uploaded last, deployed or not; `undefined` when there is none. */
export function newestVersion(view: CatalogView, worker: WorkerName): VersionRecord | undefined {
  let newest: VersionRecord | undefined;
  for (const version of view.versionsOf(worker)) {
    if (newest === undefined || version.number > newest.number) newest = version;
  }
  return newest;
}

function newWorker(name: WorkerName, { now, newId }: DecisionContext): WorkerRecord {
  return {
    name,
    tag: newId(),
    created_at_ms: now,
    modified_at_ms: now,
    deployments: [],
    last_version: 0,
    subdomain: { enabled: true, previews_enabled: false },
    tags: [],
    settings: {},
  };
}

/** Deployments with this one in front, the oldest forgotten. */
function withDeployment(
  view: CatalogView,
  context: DecisionContext,
  worker: WorkerRecord,
  version: VersionRecord,
  note: DeploymentNote,
): readonly DeploymentRecord[] {
  const consumed = view.consumersOfWorker(worker.name);
  if (consumed.length > 0 && !version.handlers.includes("queue")) {
    const queues = consumed.map((consumer) => view.get("queue", consumer.queue_id)?.name ?? consumer.queue_id);
    throw new MillraceError(
      "WORKER_HAS_NO_QUEUE_HANDLER",
      `Worker ${worker.name} consumes ${queues.join(", ")}, but this version exports no queue handler; a consumer that the configuration names no more is detached with wrangler queues consumer remove`,
    );
  }
  const deployment: DeploymentRecord = {
    id: uuidOf(context.newId()),
    created_at_ms: context.now,
    source: note.source,
    strategy: "percentage",
    versions: [{ version_id: version.id, percentage: 100 }],
    annotations: note.annotations,
  };
  return [deployment, ...worker.deployments].slice(0, limits.worker.deployments);
}

/** Versions beyond the newest, except those that a deployment still names. */
function forgottenVersions(view: CatalogView, worker: WorkerRecord): readonly CatalogOperation[] {
  const deployed = new Set(worker.deployments.flatMap(({ versions }) => versions.map(({ version_id }) => version_id)));
  return view
    .versionsOf(worker.name)
    .filter((version) => version.number <= worker.last_version - limits.worker.versions && !deployed.has(version.id))
    .map((version) => deleteRecord("version", version.id));
}

/** Throws `QUEUE_NOT_FOUND`: the first binding whose queue does not exist. */
function requireBoundQueues(view: CatalogView, { bindings }: VersionDraft): void {
  for (const binding of bindings) {
    if (binding.type !== "queue" || view.resolve(binding.queue) !== undefined) continue;
    throw new MillraceError(
      "QUEUE_NOT_FOUND",
      `Binding ${binding.name} names queue ${binding.queue.queue_name}, which does not exist`,
    );
  }
}

/** Formats 32 hex digits as a version 4 UUID. */
export function uuidOf(hex: string): string {
  const variant = "89ab"[Number.parseInt(hex.slice(16, 17), 16) % 4];
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}
