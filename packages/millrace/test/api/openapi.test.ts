// The OpenAPI document and the health endpoints.
import assert from "node:assert/strict";
import { test } from "node:test";

import { ApiHarness } from "./api-harness.ts";

interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly requestBody?: { readonly content: { readonly "application/json": { readonly schema: unknown } } };
}

test("the document describes every route once, with the ranges that are checked", async () => {
  await using harness = await ApiHarness.open();
  const response = await harness.api.server.inject({ url: "/client/v4/openapi.json" });
  assert.equal(response.statusCode, 200);
  const document = JSON.parse(response.payload) as {
    openapi: string;
    paths: Record<string, Record<string, Operation>>;
  };
  assert.equal(document.openapi, "3.1.0");
  const operations = Object.values(document.paths).flatMap((methods) => Object.values(methods));
  const ids = operations.map(({ operationId }) => operationId);
  assert.equal(new Set(ids).size, ids.length);
  assert.ok(ids.length > 50);
  const pull = document.paths["/accounts/{account_id}/queues/{queue_id}/messages/pull"]?.["post"];
  assert.partialDeepStrictEqual(pull?.requestBody?.content["application/json"].schema, {
    type: "object",
    properties: {
      batch_size: { type: "integer", minimum: 1, maximum: 100 },
      visibility_timeout_ms: { type: "integer", minimum: 0, maximum: 43_200_000 },
      millrace_batches: { type: "integer", minimum: 1, maximum: 5 },
    },
  });
});

test("health needs no token", async () => {
  await using harness = await ApiHarness.open();
  for (const url of ["/healthz", "/readyz"]) {
    assert.equal((await harness.api.server.inject({ url })).statusCode, 200, url);
  }
});
