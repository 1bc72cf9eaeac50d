// The OpenAPI document of the REST API, made of the same schemas that check its requests.

import { z } from "zod";
import { cloudflareErrors } from "../contract/index.ts";
import { envelopeOf } from "../contract/rest/index.ts";
import type { Route } from "./route.ts";

type Json = Record<string, unknown>;

/** OpenAPI 3.1. `version` is the server's. */
export function openApiDocument(routes: readonly Route[], version: string): Json {
  const paths: Record<string, Json> = {};
  for (const route of routes) {
    const path = (route.base === "account" ? "/accounts/{account_id}" : "") + route.path;
    (paths[path] ??= {})[route.method.toLowerCase()] = operationOf(route, path);
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "Millrace",
      version,
      description:
        "Cloudflare's REST API for Queues and Workers, as far as Millrace has it. Paths below /millrace/ are extensions.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: "/client/v4" }],
    security: [{ token: [] }],
    paths,
    components: {
      securitySchemes: { token: { type: "http", scheme: "bearer" } },
      responses: {
        refused: {
          description: "Refused: `errors` say why and what to do",
          content: { "application/json": { schema: schemaOf(envelopeOf(z.null()), "output") } },
        },
      },
    },
    "x-error-codes": Object.fromEntries(
      Object.entries(cloudflareErrors).map(([name, { code, status }]) => [name, { code, status }]),
    ),
  };
}

function operationOf(route: Route, path: string): Json {
  const parameters = [
    ...[...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
      name,
      in: "path",
      required: true,
      schema: { type: "string" },
    })),
    ...queryParameters(route),
  ];
  const content = requestContent(route);
  return {
    operationId: route.id,
    tags: [route.tag],
    summary: route.summary,
    ...(route.needs === "nothing" ? { security: [] } : { "x-scope": route.needs }),
    ...(parameters.length > 0 && { parameters }),
    ...(content !== undefined && { requestBody: { content } }),
    responses: {
      200: {
        description: "Done",
        content: responseContent(route),
      },
      default: { $ref: "#/components/responses/refused" },
    },
  };
}

function responseContent({ result, download }: Route): Json {
  if (download !== undefined) {
    if (typeof download === "string") {
      return { "application/octet-stream": { schema: { type: "string", format: "binary", description: download } } };
    }
    return { [download.type]: { schema: { type: "string", description: download.what } } };
  }
  return { "application/json": { schema: schemaOf(envelopeOf(result), "output") } };
}

function requestContent({ body, upload }: Route): Json | undefined {
  if (typeof upload === "object") return { [upload.type]: { schema: { type: "string", description: upload.what } } };
  if (upload !== undefined) return { "multipart/form-data": { schema: { type: "object", description: upload } } };
  return body === undefined ? undefined : { "application/json": { schema: schemaOf(body, "input") } };
}

function queryParameters({ query }: Route): readonly Json[] {
  if (query === undefined) return [];
  const { properties } = schemaOf(query, "input") as { readonly properties?: Readonly<Record<string, unknown>> };
  return Object.entries(properties ?? {}).map(([name, schema]) => ({ name, in: "query", required: false, schema }));
}

function schemaOf(schema: z.ZodType, io: "input" | "output"): Json {
  const { $schema: _dialect, ...rest } = z.toJSONSchema(schema, { io, unrepresentable: "any" }) as Json;
  return rest;
}
