// Turns an upload into a stored version: read the form, check it, try it in the runtime, keep its modules, commit.

import { createHash } from "node:crypto";
import { MillraceError, toHex } from "../../core/index.ts";
import type { BindingRecord, VersionId, VersionRecord, WorkerName } from "../../core/index.ts";
import { existingWorker, newestVersion, storeVersion, uuidOf } from "../../broker/index.ts";
import type { DeploymentNote, StoredVersion, StoreVersion, VersionDraft } from "../../broker/index.ts";
import { limits } from "../../contract/index.ts";
import type { UploadMetadata } from "../../contract/rest/index.ts";
import type { ApiDependencies } from "../dependencies.ts";
import { readBindings } from "./bindings.ts";
import { readModules } from "./modules.ts";
import type { Modules } from "./modules.ts";
import { parseMetadata, settingsOf, toldBut } from "./metadata.ts";
import type { UploadForm } from "./upload-form.ts";

/** The date of an upload that names none: from before there were dates, so that nothing newer is switched on. */
const oldestDate = "2021-11-02";

export interface UploadRequest {
  readonly worker: WorkerName;
  readonly form: UploadForm;
  readonly actor: string;
  /** Deploys the version in the same step. */
  readonly deploy: Omit<DeploymentNote, "annotations"> | undefined;
  /** Whether a Worker that does not exist is made. */
  readonly mayCreate: boolean;
}

/** What of a version may be changed without a new upload. */
export interface VersionChange {
  readonly bindings?: (bindings: readonly BindingRecord[]) => readonly BindingRecord[];
  readonly compatibilityDate?: string | undefined;
  readonly compatibilityFlags?: readonly string[] | undefined;
  /** Replaces those of the same name. */
  readonly kept?: VersionRecord["kept"];
  readonly annotations: VersionRecord["annotations"];
}

export interface UploadResult extends StoredVersion {
  /** What was stored but is not acted upon. */
  readonly messages: readonly string[];
}

export class WorkerUploads {
  readonly #dependencies: ApiDependencies;
  /** Storing modules and forgetting those nobody needs must not overlap. */
  #storing: Promise<unknown> = Promise.resolve();

  constructor(dependencies: ApiDependencies) {
    this.#dependencies = dependencies;
  }

  async upload({ worker, form, actor, deploy, mayCreate }: UploadRequest): Promise<UploadResult> {
    const { view } = this.#dependencies.controlPlane;
    if (!mayCreate) existingWorker(view, worker);
    const metadata = parseMetadata(form.metadata);
    const previous = newestVersion(view, worker);
    const modules = readModules(form.parts, mainOf(metadata));
    const bindings = readBindings(metadata.bindings ?? [], {
      view,
      previous,
      keepTypes: metadata.keep_bindings ?? [],
      partNames: new Set(modules.bytes.keys()),
    });
    const annotations = metadata.annotations ?? {};
    const { settings, kept } = settingsOf(metadata);
    const draft = this.#draft({
      worker,
      main_module: modules.main,
      modules: modules.records,
      compatibility_date: metadata.compatibility_date ?? oldestDate,
      compatibility_flags: metadata.compatibility_flags ?? [],
      bindings,
      annotations: withTrigger(annotations, "upload"),
      kept,
    });
    const stored = await this.#tryAndStore(draft, modules.bytes, {
      actor,
      basedOn: previous?.id,
      deploy: deploy === undefined ? undefined : { ...deploy, annotations },
      settings,
      tags: metadata.tags ?? undefined,
    });
    return { ...stored, messages: toldBut(metadata) };
  }

  /** Stores a new version that differs from the newest one only by `change`. */
  async derive(
    worker: WorkerName,
    change: VersionChange,
    options: Pick<StoreVersion, "deploy" | "settings" | "tags"> & { readonly actor: string },
  ): Promise<StoredVersion> {
    const { view } = this.#dependencies.controlPlane;
    const previous = newestVersion(view, existingWorker(view, worker).name);
    if (previous === undefined) throw new MillraceError("NO_VERSIONS", `Worker ${worker} has no version`);
    const draft = this.#draft({
      ...previous,
      compatibility_date: change.compatibilityDate ?? previous.compatibility_date,
      compatibility_flags: change.compatibilityFlags ?? previous.compatibility_flags,
      bindings: change.bindings?.(previous.bindings) ?? previous.bindings,
      kept: { ...previous.kept, ...change.kept },
      annotations: change.annotations,
    });
    return await this.#tryAndStore(draft, await this.#modulesOf(previous), { ...options, basedOn: previous.id });
  }

  /** The bytes of a stored version's modules, by name. */
  async #modulesOf(version: VersionRecord): Promise<Modules["bytes"]> {
    const { catalog } = this.#dependencies.engine;
    const bytes = new Map<string, Uint8Array>();
    for (const { name, blob } of version.modules) {
      const stored = await catalog.getBlob(blob);
      if (stored === undefined)
        throw new MillraceError("DATA_DAMAGED", `Module ${name} of version ${version.id} is missing`);
      bytes.set(name, stored);
    }
    return bytes;
  }

  /** Deletes modules that no version has any more. Where several servers share the data, another may be storing some. */
  async forgetModules(): Promise<void> {
    const { engine, controlPlane } = this.#dependencies;
    if (engine.capabilities.shared) return;
    await this.#alone(async () => {
      const versions = controlPlane.view.all("version");
      await engine.catalog.keepBlobs(new Set(versions.flatMap(({ modules }) => modules.map(({ blob }) => blob))));
    });
  }

  #draft(parts: Omit<VersionDraft, "id" | "handlers" | "etag" | "startup_ms">): VersionDraft {
    const { main_module, modules, compatibility_date, compatibility_flags, bindings, kept, worker, annotations } =
      parts;
    const content = { main_module, modules, compatibility_date, compatibility_flags, bindings, kept };
    const id = uuidOf(toHex(this.#dependencies.random.bytes(16))) as VersionId;
    const etag = createHash("sha256").update(JSON.stringify(content)).digest("hex");
    return { ...content, worker, annotations, id, handlers: [], etag, startup_ms: 0 };
  }

  async #tryAndStore(
    draft: VersionDraft,
    modules: Modules["bytes"],
    how: Omit<StoreVersion, "draft"> & { readonly actor: string },
  ): Promise<StoredVersion> {
    const { controlPlane, engine, host, clock } = this.#dependencies;
    const number = (controlPlane.view.get("worker", draft.worker)?.last_version ?? 0) + 1;
    const { handlers, startupMs } = await host.prepare({ ...draft, number, created_at_ms: clock.now() }, modules);
    const tried: VersionDraft = { ...draft, handlers, startup_ms: Math.max(0, Math.round(startupMs)) };
    const { actor, ...command } = how;
    const stored = await this.#alone(async () => {
      for (const { name, blob } of tried.modules) {
        const bytes = modules.get(name);
        if (bytes !== undefined) await engine.catalog.putBlob(blob, bytes);
      }
      return await controlPlane.change(actor, (view, context) =>
        storeVersion(view, context, { draft: tried, ...command }),
      );
    });
    if (stored.worker.last_version > limits.worker.versions) await this.forgetModules();
    return stored;
  }

  async #alone<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#storing.then(work);
    this.#storing = turn.catch(() => undefined);
    return await turn;
  }
}

function mainOf({ main_module, body_part }: UploadMetadata): Parameters<typeof readModules>[1] {
  if (main_module !== undefined && body_part === undefined) return { name: main_module, format: "modules" };
  if (body_part !== undefined && main_module === undefined) return { name: body_part, format: "service-worker" };
  throw new MillraceError("WORKER_INVALID", "metadata: expected one of main_module and body_part");
}

/** Cloudflare notes what made a version. */
export function withTrigger(annotations: VersionRecord["annotations"], trigger: string): VersionRecord["annotations"] {
  return { ...annotations, "workers/triggered_by": trigger };
}
