// Workers, versions and deployments as the REST API shows them. Source: rest-api.md sections 7.2 to 7.6.

import type { z } from "zod";
import type { CatalogView, DeploymentRecord, VersionRecord, WorkerRecord } from "../../core/index.ts";
import { newestVersion } from "../../broker/index.ts";
import type {
  deploymentView,
  scriptView,
  serviceView,
  settingsView,
  versionDetailView,
  versionView,
  workerView,
} from "../../contract/rest/index.ts";
import type { DeployTarget } from "../deploy-target.ts";
import { isoTime } from "../queue-view.ts";
import { showBinding } from "./bindings.ts";

/** Nobody has an address here; clients print this field. */
const nobodysEmail = "nobody@millrace.invalid";

function showVersion(version: VersionRecord): z.input<typeof versionView> {
  return {
    id: version.id,
    number: version.number,
    metadata: {
      created_on: isoTime(version.created_at_ms),
      modified_on: isoTime(version.created_at_ms),
      source: "wrangler",
      author_id: "",
      author_email: nobodysEmail,
      has_preview: false,
    },
    annotations: { ...version.annotations },
  };
}

export function showVersionDetail(view: CatalogView, version: VersionRecord): z.input<typeof versionDetailView> {
  const { limits } = version.kept;
  return {
    ...showVersion(version),
    resources: {
      bindings: version.bindings.map(showBinding(view)),
      script: { etag: version.etag, handlers: [...version.handlers], last_deployed_from: "wrangler" },
      script_runtime: {
        compatibility_date: version.compatibility_date,
        compatibility_flags: [...version.compatibility_flags],
        usage_model: "standard",
        ...(limits !== undefined && { limits: limits as Record<string, unknown> }),
      },
    },
    startup_time_ms: version.startup_ms,
  };
}

export function showDeployment(deployment: DeploymentRecord): z.input<typeof deploymentView> {
  return {
    id: deployment.id,
    created_on: isoTime(deployment.created_at_ms),
    source: deployment.source,
    strategy: "percentage",
    author_email: nobodysEmail,
    annotations: { ...deployment.annotations },
    versions: deployment.versions.map(({ version_id, percentage }) => ({ version_id, percentage })),
  };
}

/** A Worker always has a version; the running one is shown, or the newest where none runs yet. */
function shownVersion(view: CatalogView, worker: WorkerRecord): VersionRecord | undefined {
  return view.runningVersions(worker)[0] ?? newestVersion(view, worker.name);
}

export function showScript(view: CatalogView, worker: WorkerRecord, host: DeployTarget): z.input<typeof scriptView> {
  const version = shownVersion(view, worker);
  const url = urlOf(worker, host);
  return {
    id: worker.name,
    tag: worker.tag,
    tags: [...worker.tags],
    created_on: isoTime(worker.created_at_ms),
    modified_on: isoTime(worker.modified_at_ms),
    etag: version?.etag ?? "",
    handlers: [...(version?.handlers ?? [])],
    has_assets: false,
    has_modules: version?.modules.every(({ kind }) => kind !== "service-worker") ?? true,
    compatibility_date: version?.compatibility_date ?? "",
    compatibility_flags: [...(version?.compatibility_flags ?? [])],
    usage_model: "standard",
    // Only this makes wrangler deploy without asking: `dash` and `api` lead to a comparison or a prompt.
    last_deployed_from: "wrangler",
    logpush: worker.settings["logpush"] === true,
    ...(url !== undefined && { url }),
  };
}

export function showService(view: CatalogView, worker: WorkerRecord, host: DeployTarget): z.input<typeof serviceView> {
  const times = { created_on: isoTime(worker.created_at_ms), modified_on: isoTime(worker.modified_at_ms) };
  return {
    id: worker.name,
    ...times,
    usage_model: "standard",
    default_environment: { environment: "production", ...times, script: showScript(view, worker, host) },
    environments: [{ environment: "production", ...times }],
  };
}

export function showWorker(worker: WorkerRecord, host: DeployTarget): z.input<typeof workerView> {
  const url = urlOf(worker, host);
  return {
    id: worker.tag,
    name: worker.name,
    created_on: isoTime(worker.created_at_ms),
    updated_on: isoTime(worker.modified_at_ms),
    subdomain: { ...worker.subdomain, ...(url !== undefined && { url }) },
    tags: [...worker.tags],
  };
}

export function showScriptSettings(worker: WorkerRecord): { logpush: boolean; tags: string[]; tail_consumers: null } {
  const { observability } = worker.settings;
  return {
    logpush: worker.settings["logpush"] === true,
    tags: [...worker.tags],
    tail_consumers: null,
    ...(observability !== undefined && { observability }),
  };
}

/** What the newest upload said: wrangler decides from it which bindings it may leave to be inherited. */
export function showSettings(
  view: CatalogView,
  worker: WorkerRecord,
  version: VersionRecord,
): z.input<typeof settingsView> {
  return {
    ...showScriptSettings(worker),
    bindings: version.bindings.map(showBinding(view)),
    compatibility_date: version.compatibility_date,
    compatibility_flags: [...version.compatibility_flags],
    usage_model: "standard",
    ...version.kept,
  };
}

function urlOf(worker: WorkerRecord, host: DeployTarget): string | undefined {
  return worker.subdomain.enabled ? host.describe(worker.name)?.url : undefined;
}
