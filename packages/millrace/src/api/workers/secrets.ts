// Secrets of a Worker. Each change makes a new version and deploys it, as on Cloudflare. Source: rest-api.md section 7.6.

import { z } from "zod";
import { MillraceError } from "../../core/index.ts";
import type { BindingRecord, CatalogView, WorkerRecord } from "../../core/index.ts";
import { newestVersion } from "../../broker/index.ts";
import { secretBody, secretsBulkBody, secretView } from "../../contract/rest/index.ts";
import type { ApiDependencies } from "../dependencies.ts";
import { defineRoute } from "../route.ts";
import type { Route } from "../route.ts";
import { withTrigger } from "./uploads.ts";
import type { WorkerUploads } from "./uploads.ts";
import { existingWorkerOf } from "./worker-parameter.ts";

const tag = "Workers";

/** New texts by name; `null` removes one. */
type SecretChanges = Readonly<Record<string, { readonly text: string } | null>>;
type SecretView = z.input<typeof secretView>;

export function secretRoutes({ controlPlane }: ApiDependencies, uploads: WorkerUploads): Route[] {
  const change = async (
    params: Readonly<Record<string, string>>,
    changes: SecretChanges,
    actor: string,
  ): Promise<SecretView[]> => {
    const worker = existingWorkerOf(controlPlane.view, params);
    requireNewestDeployed(controlPlane.view, worker);
    const annotations = withTrigger({}, "secret");
    const { version } = await uploads.derive(
      worker.name,
      { bindings: changeSecrets(changes), annotations },
      { actor, deploy: { source: "secret", annotations } },
    );
    return secretsOf(version.bindings);
  };
  const listed = (params: Readonly<Record<string, string>>): SecretView[] => {
    const { view } = controlPlane;
    return secretsOf(newestVersion(view, existingWorkerOf(view, params).name)?.bindings ?? []);
  };
  const existing = (params: Readonly<Record<string, string>>): SecretView => {
    const name = params["secret_name"] ?? "";
    const secret = listed(params).find((each) => each.name === name);
    if (secret === undefined)
      throw new MillraceError("SECRET_NOT_FOUND", `There is no secret ${JSON.stringify(name.slice(0, 80))}`);
    return secret;
  };

  return [
    defineRoute({
      id: "listSecrets",
      method: "GET",
      path: "/workers/scripts/{script_name}/secrets",
      tag,
      summary: "List a Worker's secrets, without their texts",
      needs: "workers:write",
      result: z.array(secretView),
      handle: ({ params }) => ({ result: listed(params) }),
    }),
    defineRoute({
      id: "putSecret",
      method: "PUT",
      path: "/workers/scripts/{script_name}/secrets",
      tag,
      summary: "Set a secret, and deploy",
      needs: "workers:write",
      body: secretBody,
      result: secretView,
      handle: async ({ params, body, principal }) => {
        await change(params, { [body.name]: { text: body.text } }, principal.name);
        return { result: { name: body.name, type: "secret_text" as const } };
      },
    }),
    defineRoute({
      id: "patchSecrets",
      method: "PATCH",
      path: "/workers/scripts/{script_name}/secrets-bulk",
      tag,
      summary: "Set and remove secrets, and deploy once",
      needs: "workers:write",
      body: secretsBulkBody,
      result: z.array(secretView),
      handle: async ({ params, body, principal }) => ({ result: await change(params, body.secrets, principal.name) }),
    }),
    defineRoute({
      id: "getSecret",
      method: "GET",
      path: "/workers/scripts/{script_name}/secrets/{secret_name}",
      tag,
      summary: "Whether there is a secret of that name",
      needs: "workers:write",
      result: secretView,
      handle: ({ params }) => ({ result: existing(params) }),
    }),
    defineRoute({
      id: "deleteSecret",
      method: "DELETE",
      path: "/workers/scripts/{script_name}/secrets/{secret_name}",
      tag,
      summary: "Remove a secret, and deploy",
      needs: "workers:write",
      result: z.null(),
      handle: async ({ params, principal }) => {
        const { name } = existing(params);
        await change(params, { [name]: null }, principal.name);
        return { result: null };
      },
    }),
  ];
}

/** Makes the change of a version's bindings. Throws `BINDING_INVALID` when a name belongs to a binding of another type. */
export function changeSecrets(
  changes: SecretChanges,
): (bindings: readonly BindingRecord[]) => readonly BindingRecord[] {
  const names = new Set(Object.keys(changes));
  return (bindings) => {
    const taken = bindings.find(({ name, type }) => names.has(name) && type !== "secret_text");
    if (taken !== undefined) {
      throw new MillraceError(
        "BINDING_INVALID",
        `Binding name ${taken.name} is already in use by a binding of type ${taken.type}`,
      );
    }
    const set = Object.entries(changes).flatMap(([name, secret]): BindingRecord[] =>
      secret === null ? [] : [{ type: "secret_text", name, text: secret.text }],
    );
    return [...bindings.filter(({ name }) => !names.has(name)), ...set];
  };
}

function secretsOf(bindings: readonly BindingRecord[]): SecretView[] {
  return bindings.flatMap(({ name, type }) => (type === "secret_text" ? [{ name, type }] : []));
}

/** A changed version copies the newest: were that one not running, the change would deploy it unasked. Throws `VERSION_NOT_DEPLOYED`. */
export function requireNewestDeployed(view: CatalogView, worker: WorkerRecord): void {
  const newest = newestVersion(view, worker.name);
  if (newest === undefined || view.runningVersions(worker).some(({ id }) => id === newest.id)) return;
  throw new MillraceError(
    "VERSION_NOT_DEPLOYED",
    `Version ${newest.id} of Worker ${worker.name} is the newest, but is not deployed`,
  );
}
