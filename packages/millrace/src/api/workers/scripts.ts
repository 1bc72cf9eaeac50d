// Workers as scripts and services: upload, list, get, delete. Source: rest-api.md sections 7.2 and 7.3.

import { z } from "zod";
import { deleteWorker } from "../../broker/index.ts";
import { limits } from "../../contract/index.ts";
import { scriptView, serviceView, uploadedScriptView, workerView } from "../../contract/rest/index.ts";
import type { ApiDependencies } from "../dependencies.ts";
import { pageOf, pagingQuery } from "../paging.ts";
import { defineRoute } from "../route.ts";
import type { Route } from "../route.ts";
import type { WorkerUploads } from "./uploads.ts";
import { readUploadForm } from "./upload-form.ts";
import { existingWorkerOf, workerNameOf } from "./worker-parameter.ts";
import { showScript, showService, showWorker } from "./worker-view.ts";

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
          form: readUploadForm(bytes, contentType),
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
  ];
}
