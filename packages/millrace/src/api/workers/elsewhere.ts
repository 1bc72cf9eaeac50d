// What wrangler asks about things that Millrace does not have: answered as empty where that is the truth, refused where
// somebody wants one.

import { z } from "zod";
import { MillraceError } from "../../core/index.ts";
import type { ApiDependencies } from "../dependencies.ts";
import { defineRoute } from "../route.ts";
import type { Route } from "../route.ts";
import { pageOf } from "../paging.ts";
import { existingWorkerOf } from "./worker-parameter.ts";

const tag = "Elsewhere";

const references = z.object({
  services: z.object({ incoming: z.array(z.never()), outgoing: z.array(z.never()), pages_function: z.literal(false) }),
  durable_objects: z.array(z.never()),
  dispatch_outbounds: z.array(z.never()),
});

export function elsewhereRoutes({ controlPlane }: ApiDependencies): Route[] {
  const none = (id: string, path: string, summary: string): Route =>
    defineRoute({
      id,
      method: "GET",
      path,
      tag,
      summary,
      needs: "workers:write",
      result: z.array(z.never()),
      handle: () => ({ result: [], info: pageOf([], {}).info }),
    });
  return [
    none(
      "listDurableObjectNamespaces",
      "/workers/durable_objects/namespaces",
      "Durable Object namespaces: there are none here",
    ),
    none("listKvNamespaces", "/storage/kv/namespaces", "KV namespaces: there are none here"),
    none(
      "listTailProducers",
      "/workers/tails/by-consumer/{script_name}",
      "Workers that send their logs to this one: there are none here",
    ),
    none("listWorkerDomains", "/workers/domains", "Custom domains: there are none here"),
    defineRoute({
      id: "getReferences",
      method: "GET",
      path: "/workers/scripts/{script_name}/references",
      tag,
      summary: "What depends on a Worker: nothing but the queues it consumes",
      needs: "workers:write",
      result: references,
      handle: ({ params }) => {
        existingWorkerOf(controlPlane.view, params);
        return {
          result: {
            services: { incoming: [], outgoing: [], pages_function: false as const },
            durable_objects: [],
            dispatch_outbounds: [],
          },
        };
      },
    }),
    defineRoute({
      id: "startAssetsUpload",
      method: "POST",
      path: "/workers/scripts/{script_name}/assets-upload-session",
      tag,
      summary: "Static files: refused, for there are none here",
      needs: "workers:write",
      result: z.never(),
      handle: () => {
        throw new MillraceError("UNSUPPORTED", "Millrace does not have `assets` (static files)");
      },
    }),
  ];
}
