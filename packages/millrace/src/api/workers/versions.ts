// Versions of a Worker and their deployments. Source: rest-api.md sections 7.3 and 7.6.

import { MillraceError } from "../../core/index.ts";
import type { VersionRecord } from "../../core/index.ts";
import { deployVersion, existingVersion } from "../../broker/index.ts";
import { limits } from "../../contract/index.ts";
import {
  createDeploymentBody,
  deploymentListView,
  deploymentView,
  latestVersionBody,
  versionDetailView,
  versionListView,
} from "../../contract/rest/index.ts";
import type { ApiDependencies } from "../dependencies.ts";
import { pageOf, pagingQuery } from "../paging.ts";
import { defineRoute } from "../route.ts";
import type { Route } from "../route.ts";
import { changeSecrets } from "./secrets.ts";
import { withTrigger } from "./uploads.ts";
import type { WorkerUploads } from "./uploads.ts";
import { readUploadForm } from "./upload-form.ts";
import { existingWorkerOf, workerNameOf } from "./worker-parameter.ts";
import { showDeployment, showVersionDetail } from "./worker-view.ts";

const tag = "Workers";

export function versionRoutes({ controlPlane }: ApiDependencies, uploads: WorkerUploads): Route[] {
  return [
    defineRoute({
      id: "uploadVersion",
      method: "POST",
      path: "/workers/scripts/{script_name}/versions",
      tag,
      summary: "Upload a version of a Worker without deploying it",
      needs: "workers:write",
      upload: "The `metadata` part, and a part for every module",
      maxBytes: limits.worker.uploadBytes,
      result: versionDetailView,
      handle: async ({ params, bytes, contentType, principal }) => {
        const { version, messages } = await uploads.upload({
          worker: workerNameOf(params),
          form: readUploadForm(bytes, contentType),
          actor: principal.name,
          deploy: undefined,
          mayCreate: false,
        });
        return { result: showVersionDetail(controlPlane.view, version), messages };
      },
    }),
    defineRoute({
      id: "listVersions",
      method: "GET",
      path: "/workers/scripts/{script_name}/versions",
      tag,
      summary: "List versions, newest first",
      needs: "workers:write",
      query: pagingQuery,
      result: versionListView,
      handle: ({ params, query }) => {
        const { view } = controlPlane;
        const { name } = existingWorkerOf(view, params);
        const { items, info } = pageOf(view.versionsOf(name).toSorted(newestFirst), query);
        return { result: { items: items.map((version) => showVersionDetail(view, version)) }, info };
      },
    }),
    defineRoute({
      id: "getVersion",
      method: "GET",
      path: "/workers/scripts/{script_name}/versions/{version_id}",
      tag,
      summary: "Get a version",
      needs: "workers:write",
      result: versionDetailView,
      handle: ({ params }) => {
        const { view } = controlPlane;
        const { name } = existingWorkerOf(view, params);
        return { result: showVersionDetail(view, existingVersion(view, name, params["version_id"] ?? "")) };
      },
    }),
    defineRoute({
      id: "patchLatestVersion",
      method: "PATCH",
      path: "/workers/workers/{script_name}/versions/latest",
      tag,
      summary: "Make a version that differs from the newest by its secrets",
      needs: "workers:write",
      body: latestVersionBody,
      result: versionDetailView,
      handle: async ({ params, body, principal }) => {
        const { name } = existingWorkerOf(controlPlane.view, params);
        const annotations = Object.entries(body.annotations ?? {}).flatMap(([key, value]) =>
          value === null ? [] : [[key, value]],
        );
        const { version } = await uploads.derive(
          name,
          {
            bindings: changeSecrets(body.env ?? {}),
            annotations: withTrigger(Object.fromEntries(annotations) as Record<string, string>, "secret"),
          },
          { actor: principal.name, deploy: undefined },
        );
        return { result: showVersionDetail(controlPlane.view, version) };
      },
    }),
    defineRoute({
      id: "createDeployment",
      method: "POST",
      path: "/workers/scripts/{script_name}/deployments",
      tag,
      summary: "Deploy a version",
      needs: "workers:write",
      body: createDeploymentBody,
      result: deploymentView,
      handle: async ({ params, body, principal }) => {
        const { name } = existingWorkerOf(controlPlane.view, params);
        const shares = body.versions.filter(({ percentage }) => percentage !== 0);
        const [only] = shares;
        if (only === undefined || shares.length > 1) {
          throw new MillraceError(
            "UNSUPPORTED",
            `Millrace runs one version of a Worker at a time, not ${shares.length}`,
          );
        }
        if (only.percentage !== 100) {
          throw new MillraceError(
            "REQUEST_INVALID",
            `versions: expected percentages that add up to 100, got ${only.percentage}`,
          );
        }
        const version = existingVersion(controlPlane.view, name, only.version_id);
        const deployment = await controlPlane.change(principal.name, (view, context) =>
          deployVersion(view, context, {
            worker: name,
            version: version.id,
            note: { source: "wrangler", annotations: body.annotations ?? {} },
          }),
        );
        return { result: showDeployment(deployment) };
      },
    }),
    defineRoute({
      id: "listDeployments",
      method: "GET",
      path: "/workers/scripts/{script_name}/deployments",
      tag,
      summary: "List deployments, newest first",
      needs: "workers:write",
      result: deploymentListView,
      handle: ({ params }) => {
        const { deployments } = existingWorkerOf(controlPlane.view, params);
        return { result: { deployments: deployments.map(showDeployment) } };
      },
    }),
    defineRoute({
      id: "getDeployment",
      method: "GET",
      path: "/workers/scripts/{script_name}/deployments/{deployment_id}",
      tag,
      summary: "Get a deployment",
      needs: "workers:write",
      result: deploymentView,
      handle: ({ params }) => {
        const { name, deployments } = existingWorkerOf(controlPlane.view, params);
        const id = params["deployment_id"] ?? "";
        const deployment = deployments.find((each) => each.id === id);
        if (deployment === undefined) {
          throw new MillraceError("VERSION_NOT_FOUND", `Worker ${name} has no deployment ${id.slice(0, 60)}`);
        }
        return { result: showDeployment(deployment) };
      },
    }),
  ];
}

function newestFirst(a: VersionRecord, b: VersionRecord): number {
  return b.number - a.number;
}
