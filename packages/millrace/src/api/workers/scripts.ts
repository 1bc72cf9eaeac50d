// Workers as scripts: upload, list, delete, settings, subdomain, schedules. Source: rest-api.md sections 7.2 and 7.3.

import { z } from "zod";
import { MillraceError } from "../../core/index.ts";
import { changeWorker, deleteWorker, newestVersion } from "../../broker/index.ts";
import { limits } from "../../contract/index.ts";
import {
  schedulesBody,
  schedulesView,
  scriptSettingsBody,
  scriptSettingsView,
  scriptView,
  serviceView,
  settingsView,
  subdomainBody,
  subdomainView,
  uploadedScriptView,
  workerView,
} from "../../contract/rest/index.ts";
import type { ApiDependencies } from "../dependencies.ts";
import { pageOf, pagingQuery } from "../paging.ts";
import { defineRoute } from "../route.ts";
import type { Route } from "../route.ts";
import type { WorkerUploads } from "./uploads.ts";
import { readUploadForm } from "./upload-form.ts";
import { existingWorkerOf, workerNameOf } from "./worker-parameter.ts";
import { showScript, showScriptSettings, showService, showSettings, showWorker } from "./worker-view.ts";

const tag = "Workers";

export function scriptRoutes({ controlPlane, host }: ApiDependencies, uploads: WorkerUploads): Route[] {
  const remove = async (params: Readonly<Record<string, string>>, actor: string): Promise<{ result: null }> => {
    const { name } = existingWorkerOf(controlPlane.view, params);
    await controlPlane.change(actor, (view, context) => deleteWorker(view, context, name));
    await uploads.forgetModules();
    return { result: null };
  };

  return [
    defineRoute({
      id: "uploadWorker",
      method: "PUT",
      path: "/workers/scripts/{script_name}",
      tag,
      summary: "Upload a Worker and deploy it",
      needs: "workers:write",
      upload: "The `metadata` part, and a part for every module",
      maxBytes: limits.worker.uploadBytes,
      result: uploadedScriptView,
      handle: async ({ params, bytes, contentType, principal }) => {
        const { worker, version, messages } = await uploads.upload({
          worker: workerNameOf(params),
          form: await readUploadForm(bytes, contentType),
          actor: principal.name,
          deploy: { source: "wrangler" },
          mayCreate: true,
        });
        return {
          result: {
            ...showScript(controlPlane.view, worker, host),
            deployment_id: version.id,
            startup_time_ms: version.startup_ms,
            entry_point: version.main_module,
          },
          messages,
        };
      },
    }),
    defineRoute({
      id: "listWorkers",
      method: "GET",
      path: "/workers/scripts",
      tag,
      summary: "List Workers",
      needs: "workers:write",
      query: pagingQuery,
      result: z.array(scriptView),
      handle: ({ query }) => {
        const { view } = controlPlane;
        const { items, info } = pageOf(view.all("worker"), query);
        return { result: items.map((worker) => showScript(view, worker, host)), info };
      },
    }),
    defineRoute({
      id: "deleteWorker",
      method: "DELETE",
      path: "/workers/scripts/{script_name}",
      tag,
      summary: "Delete a Worker and detach it from the queues it consumes",
      needs: "workers:write",
      result: z.null(),
      handle: async ({ params, principal }) => await remove(params, principal.name),
    }),
    defineRoute({
      id: "getService",
      method: "GET",
      path: "/workers/services/{script_name}",
      tag,
      summary: "A Worker as the service that wrangler asks for",
      needs: "workers:write",
      result: serviceView,
      handle: ({ params }) => ({
        result: showService(controlPlane.view, existingWorkerOf(controlPlane.view, params), host),
      }),
    }),
    defineRoute({
      id: "deleteService",
      method: "DELETE",
      path: "/workers/services/{script_name}",
      tag,
      summary: "Delete a Worker, as wrangler does it",
      needs: "workers:write",
      result: z.null(),
      handle: async ({ params, principal }) => await remove(params, principal.name),
    }),
    defineRoute({
      id: "getWorker",
      method: "GET",
      path: "/workers/workers/{script_name}",
      tag,
      summary: "A Worker and where it answers",
      needs: "workers:write",
      result: workerView,
      handle: ({ params }) => ({ result: showWorker(existingWorkerOf(controlPlane.view, params), host) }),
    }),
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
