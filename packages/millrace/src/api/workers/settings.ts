// Settings of a Worker: bindings of its newest version, what is not part of a version, address, schedules.

import { z } from "zod";
import { MillraceError } from "../../core/index.ts";
import type { Json } from "../../core/index.ts";
import { changeWorker, newestVersion } from "../../broker/index.ts";
import {
  schedulesBody,
  schedulesView,
  scriptSettingsBody,
  scriptSettingsView,
  settingsView,
  subdomainBody,
  subdomainView,
} from "../../contract/rest/index.ts";
import type { ApiDependencies } from "../dependencies.ts";
import { defineRoute } from "../route.ts";
import type { Route } from "../route.ts";
import { readBindings } from "./bindings.ts";
import { parseMetadata, settingsOf, toldBut } from "./metadata.ts";
import { requireNewestDeployed } from "./secrets.ts";
import { readUploadForm } from "./upload-form.ts";
import { withTrigger } from "./uploads.ts";
import type { WorkerUploads } from "./uploads.ts";
import { existingWorkerOf } from "./worker-parameter.ts";
import { showScriptSettings, showSettings } from "./worker-view.ts";

const tag = "Workers";

export function settingRoutes({ controlPlane }: ApiDependencies, uploads: WorkerUploads): Route[] {
  return [
    defineRoute({
      id: "getWorkerSettings",
      method: "GET",
      path: "/workers/scripts/{script_name}/settings",
      tag,
      summary: "Bindings and settings of the newest version",
      needs: "workers:write",
      result: settingsView,
      handle: ({ params }) => {
        const { view } = controlPlane;
        const worker = existingWorkerOf(view, params);
        const version = newestVersion(view, worker.name);
        if (version === undefined) throw new MillraceError("NO_VERSIONS", `Worker ${worker.name} has no version`);
        return { result: showSettings(view, worker, version) };
      },
    }),
    defineRoute({
      id: "patchWorkerSettings",
      method: "PATCH",
      path: "/workers/scripts/{script_name}/settings",
      tag,
      summary: "Change bindings and settings without uploading modules again; makes a version and deploys it",
      needs: "workers:write",
      upload: "The `settings` part: of an upload's metadata what needs no modules",
      result: settingsView,
      handle: async ({ params, bytes, contentType, principal }) => {
        const { view } = controlPlane;
        const worker = existingWorkerOf(view, params);
        const form = readUploadForm(bytes, contentType, "settings");
        const metadata = parseMetadata(form.metadata);
        requireNewestDeployed(view, worker);
        const previous = newestVersion(view, worker.name);
        const { bindings } = metadata;
        const changed =
          bindings &&
          readBindings(bindings, { view, previous, keepTypes: metadata.keep_bindings ?? [], partNames: new Set() });
        const annotations = withTrigger(metadata.annotations ?? {}, "upload");
        const { kept } = settingsOf(metadata);
        const stored = await uploads.derive(
          worker.name,
          {
            ...(changed !== undefined && { bindings: () => changed }),
            compatibilityDate: metadata.compatibility_date,
            compatibilityFlags: metadata.compatibility_flags,
            kept,
            annotations,
          },
          {
            actor: principal.name,
            deploy: { source: "api", annotations },
            settings: givenSettings(metadata),
            tags: metadata.tags ?? undefined,
          },
        );
        return { result: showSettings(controlPlane.view, stored.worker, stored.version), messages: toldBut(metadata) };
      },
    }),
    defineRoute({
      id: "getScriptSettings",
      method: "GET",
      path: "/workers/scripts/{script_name}/script-settings",
      tag,
      summary: "Settings of a Worker that are not part of a version",
      needs: "workers:write",
      result: scriptSettingsView,
      handle: ({ params }) => ({ result: showScriptSettings(existingWorkerOf(controlPlane.view, params)) }),
    }),
    defineRoute({
      id: "patchScriptSettings",
      method: "PATCH",
      path: "/workers/scripts/{script_name}/script-settings",
      tag,
      summary: "Change settings of a Worker that are not part of a version",
      needs: "workers:write",
      body: scriptSettingsBody,
      result: scriptSettingsView,
      handle: async ({ params, body, principal }) => {
        const { name } = existingWorkerOf(controlPlane.view, params);
        if ((body.tail_consumers ?? []).length > 0)
          throw new MillraceError("UNSUPPORTED", "Millrace does not have `tail_consumers`");
        const { tags, logpush, observability } = body;
        const worker = await controlPlane.change(principal.name, (view, context) =>
          changeWorker(view, context, {
            name,
            tags: tags === null ? [] : tags,
            settings: {
              ...(logpush !== undefined && { logpush }),
              ...(observability !== undefined && { observability: observability as Record<string, never> | null }),
            },
          }),
        );
        return { result: showScriptSettings(worker) };
      },
    }),
    defineRoute({
      id: "getAccountSubdomain",
      method: "GET",
      path: "/workers/subdomain",
      tag,
      summary: "The account's name below workers.dev: there is none here, each Worker has its own address",
      needs: "workers:write",
      result: z.object({ subdomain: z.string() }),
      handle: () => ({ result: { subdomain: "millrace" } }),
    }),
    defineRoute({
      id: "getWorkerSubdomain",
      method: "GET",
      path: "/workers/scripts/{script_name}/subdomain",
      tag,
      summary: "Whether a Worker is served under its own name",
      needs: "workers:write",
      result: subdomainView,
      handle: ({ params }) => ({ result: { ...existingWorkerOf(controlPlane.view, params).subdomain } }),
    }),
    defineRoute({
      id: "setWorkerSubdomain",
      method: "POST",
      path: "/workers/scripts/{script_name}/subdomain",
      tag,
      summary: "Serve a Worker under its own name, or not",
      needs: "workers:write",
      body: subdomainBody,
      result: subdomainView,
      handle: async ({ params, body, principal }) => {
        const { name } = existingWorkerOf(controlPlane.view, params);
        const { enabled, previews_enabled } = body;
        const { subdomain } = await controlPlane.change(principal.name, (view, context) =>
          changeWorker(view, context, {
            name,
            subdomain: {
              enabled,
              ...(previews_enabled !== undefined && previews_enabled !== null && { previews_enabled }),
            },
          }),
        );
        return {
          result: { ...subdomain },
          messages: subdomain.previews_enabled
            ? ["previews_enabled is stored, but there are no preview addresses here"]
            : [],
        };
      },
    }),
    defineRoute({
      id: "getSchedules",
      method: "GET",
      path: "/workers/scripts/{script_name}/schedules",
      tag,
      summary: "Cron triggers of a Worker: there are none here",
      needs: "workers:write",
      result: schedulesView,
      handle: ({ params }) => {
        existingWorkerOf(controlPlane.view, params);
        return { result: { schedules: [] } };
      },
    }),
    defineRoute({
      id: "setSchedules",
      method: "PUT",
      path: "/workers/scripts/{script_name}/schedules",
      tag,
      summary: "Set cron triggers: none is accepted, others are refused",
      needs: "workers:write",
      body: schedulesBody,
      result: schedulesView,
      handle: ({ params, body }) => {
        existingWorkerOf(controlPlane.view, params);
        if (body.length > 0) {
          const crons = body.slice(0, 5).map(({ cron }) => JSON.stringify(cron.slice(0, 40)));
          throw new MillraceError(
            "UNSUPPORTED",
            `Millrace has no cron triggers (\`triggers.crons\`: ${crons.join(", ")})`,
          );
        }
        return { result: { schedules: [] } };
      },
    }),
  ];
}

/** Only what was given: unlike an upload, a change switches nothing off. */
function givenSettings({
  observability,
  logpush,
}: {
  readonly observability?: unknown;
  readonly logpush?: boolean | null | undefined;
}): { readonly [key: string]: Json } {
  return {
    ...(observability !== undefined && { observability: observability as Json }),
    ...(logpush !== undefined && { logpush }),
  };
}
