// Whatever is sent to whichever route: the envelope and a client's error, or success; never a 500, never a crash.
import assert from "node:assert/strict";
import { connect } from "node:net";
import { test } from "node:test";

import fc from "fast-check";
import { accountId, adminToken, ApiHarness } from "./api-harness.ts";
import { uploadWorker } from "./upload.ts";

interface Schema {
  readonly type?: string;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly minimum?: number;
  readonly maximum?: number;
}

interface Operation {
  readonly method: string;
  readonly path: string;
  readonly body: Schema | undefined;
}

async function operationsOf(harness: ApiHarness): Promise<readonly Operation[]> {
  const { payload } = await harness.api.server.inject({ url: "/client/v4/openapi.json" });
  const document = JSON.parse(payload) as {
    paths: Record<string, Record<string, { requestBody?: { content: Record<string, { schema: Schema }> } }>>;
  };
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { requestBody }]) => ({
      method: method.toUpperCase(),
      path,
      body: requestBody?.content["application/json"]?.schema,
    })),
  );
}

const oddNumbers = fc.oneof(
  fc.integer(),
  fc.double(),
  fc.constantFrom(-1, 0, 1, 0.5, 1e308, -0, 2 ** 53, 86_401, 43_200_001),
);
const anything = fc.oneof(fc.jsonValue({ maxDepth: 4 }), oddNumbers, fc.string({ unit: "binary" }), fc.constant(null));

/** Values that fit a schema, nearly fit it, or do not at all. */
function nearly(schema: Schema, depth = 0): fc.Arbitrary<unknown> {
  return fc.oneof({ weight: 6, arbitrary: fitting(schema, depth) }, { weight: 1, arbitrary: anything });
}

function fitting(schema: Schema, depth: number): fc.Arbitrary<unknown> {
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices !== undefined) return fc.oneof(...choices.map((each) => nearly(each, depth)));
  if (schema.const !== undefined) return fc.constant(schema.const);
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum);
  if (schema.properties !== undefined && depth < 5) {
    const fields = Object.entries(schema.properties).map(([name, field]) => [name, nearly(field, depth + 1)] as const);
    const model = Object.fromEntries(fields);
    const required = (schema.required ?? []).filter((name) => name in model);
    return fc.oneof(
      { weight: 4, arbitrary: fc.record(model, { requiredKeys: required }) },
      { weight: 1, arbitrary: fc.record(model, { requiredKeys: [] }) },
    );
  }
  if (schema.items !== undefined) return fc.array(nearly(schema.items, depth + 1), { maxLength: 4 });
  if (schema.type === "integer" || schema.type === "number") {
    const { minimum = -10, maximum = 1_000 } = schema;
    return fc.oneof(
      fc.constantFrom(minimum, maximum, minimum - 1, maximum + 1, minimum + 0.5),
      fc.integer({ min: minimum, max: Math.max(minimum, maximum) }),
    );
  }
  if (schema.type === "boolean") return fc.boolean();
  if (schema.type === "string")
    return fc.oneof(fc.string(), fc.constantFrom("my-app", "fuzzed", "http_pull", "worker", ""));
  return anything;
}

const corrupted = fc
  .tuple(fc.uint8Array({ maxLength: 200 }), fc.constantFrom("", "{", '{"a":', "[[[[", "nul", '"\\ud800"'))
  .map(([bytes, text]) => Buffer.concat([Buffer.from(text), bytes]));

const oddSegment = fc.oneof(
  fc.string({ minLength: 1 }).map(encodeSegment),
  fc.constantFrom("..", "%2e%2e", "%00", "0", "null", "__proto__", "constructor", "x".repeat(600)),
);

function encodeSegment(text: string): string {
  return encodeURIComponent(text.toWellFormed());
}

test("no request makes the server fail", async () => {
  await using harness = await ApiHarness.open();
  const operations = await operationsOf(harness);
  const request = fc.constantFrom(...operations).chain((operation) =>
    fc.record({
      operation: fc.constant(operation),
      segments: fc.array(fc.option(oddSegment, { freq: 3, nil: undefined }), { minLength: 3, maxLength: 3 }),
      body: fc.oneof(
        {
          weight: 4,
          arbitrary: (operation.body === undefined ? anything : nearly(operation.body)).map(
            (value) => JSON.stringify(value) ?? "",
          ),
        },
        { weight: 1, arbitrary: corrupted },
        { weight: 1, arbitrary: fc.constant("") },
      ),
      contentType: fc.constantFrom("application/json", "text/plain", "multipart/form-data; boundary=x", ";", ""),
      query: fc.oneof(
        fc.constant(""),
        fc.webQueryParameters().map((query) => `?${query}`),
        fc.constant("?page=%ff&per_page=1e9&name[]=x&__proto__=1"),
      ),
    }),
  );
  await fc.assert(
    fc.asyncProperty(request, async ({ operation, segments, body, contentType, query }) => {
      if (harness.controlPlane.view.queueByName("fuzzed") === undefined) await harness.queue("fuzzed");
      if (harness.controlPlane.view.get("worker", "my-app") === undefined) await uploadWorker(harness, "my-app");
      const queue = harness.controlPlane.view.queueByName("fuzzed")?.id ?? "";
      const good: Record<string, string> = { account_id: accountId, queue_id: queue, script_name: "my-app" };
      const odd = segments.values();
      const path = operation.path.replaceAll(/\{(\w+)\}/g, (_, name: string) => {
        const segment = name === "account_id" ? undefined : odd.next().value;
        return segment ?? good[name] ?? "0".repeat(32);
      });
      const response = await harness.door.inject({
        method: operation.method as "GET",
        url: `/client/v4${path}${query}`,
        headers: { authorization: `Bearer ${adminToken}`, ...(contentType !== "" && { "content-type": contentType }) },
        ...(operation.method !== "GET" && { payload: body }),
      });
      assert.ok(response.statusCode < 500, `${response.statusCode} ${response.payload}`);
      if (response.headers["content-type"] === "application/x-ndjson" && response.statusCode === 200) return;
      assert.equal(response.headers["content-type"], "application/json");
      const envelope = JSON.parse(response.payload) as { success: boolean; errors: { message: string }[] };
      assert.equal(envelope.success, response.statusCode < 300);
      assert.equal(envelope.errors.length > 0, !envelope.success);
      // Words of our own for every rule: never those of the library that checks it.
      for (const { message } of envelope.errors)
        assert.doesNotMatch(message, /Invalid |Too (?:big|small)|Unrecognized key/);
    }),
    { numRuns: 1_500 },
  );
  assert.deepEqual(
    harness.log.events.filter(({ level }) => level === "error"),
    [],
  );
});

test("raw bytes on the socket are answered or closed, and the server goes on", async () => {
  await using harness = await ApiHarness.open();
  const { hostname, port } = new URL(await harness.api.listen({ host: "127.0.0.1", port: 0 }));
  const exchange = async (bytes: Uint8Array): Promise<string> =>
    await new Promise<string>((resolve) => {
      let answer = "";
      const socket = connect(Number(port), hostname, () => socket.end(bytes));
      socket.setEncoding("latin1");
      socket.on("data", (chunk: string) => (answer += chunk));
      socket.on("error", () => resolve(answer));
      socket.on("close", () => resolve(answer));
    });
  const head = `POST /client/v4/accounts/${accountId}/queues HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${adminToken}\r\n`;
  const starts = [
    "",
    "GET / HTTP/1.1\r\n",
    head,
    `${head}Content-Length: 10\r\n\r\n`,
    `${head}Transfer-Encoding: chunked\r\n\r\n`,
    `${head}Content-Length: -1\r\n\r\n`,
  ];
  const bytes = fc
    .tuple(fc.constantFrom(...starts), fc.uint8Array({ maxLength: 300 }))
    .map(([start, rest]) => Buffer.concat([Buffer.from(start), rest]));
  await fc.assert(
    fc.asyncProperty(bytes, async (sent) => {
      const answer = await exchange(sent);
      assert.doesNotMatch(answer, /^HTTP\/1\.1 5/);
    }),
    { numRuns: 200 },
  );
  assert.equal((await harness.call("GET", "/queues")).status, 200);
});

test("a thousand idle connections leave room for work", async () => {
  await using harness = await ApiHarness.open();
  const { hostname, port } = new URL(await harness.api.listen({ host: "127.0.0.1", port: 0 }));
  const sockets = await Promise.all(
    Array.from(
      { length: 1_000 },
      async () =>
        await new Promise<ReturnType<typeof connect>>((resolve, reject) => {
          const socket = connect(Number(port), hostname, () => resolve(socket));
          socket.once("error", reject);
        }),
    ),
  );
  const response = await fetch(`http://${hostname}:${port}/healthz`);
  assert.equal(response.status, 200);
  await response.text();
  for (const socket of sockets) socket.destroy();
});
