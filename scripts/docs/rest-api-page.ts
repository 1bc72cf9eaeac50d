// docs/reference/rest-api.md: the REST API, from the OpenAPI document that the server itself answers.

import { createApi } from "../../packages/millrace/src/api/index.ts";
import { block, code } from "./markdown.ts";
import { shapeOf } from "./schema-shape.ts";
import type { Schema } from "./schema-shape.ts";

interface Operation {
  readonly operationId: string;
  readonly tags: readonly string[];
  readonly summary: string;
  readonly "x-scope"?: string;
  readonly parameters?: readonly { readonly name: string; readonly in: string; readonly schema: Schema }[];
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: Schema }>> };
  readonly responses: {
    readonly 200: {
      readonly content: {
        readonly "application/json"?: { readonly schema: { readonly properties: { result: Schema } } };
        /** Instead of JSON. */
        readonly "application/octet-stream"?: { readonly schema: { readonly description: string } };
        readonly "application/x-ndjson"?: { readonly schema: { readonly description: string } };
      };
    };
  };
}

interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}

export async function restApiPage(): Promise<string> {
  const { paths } = await readDocument();
  const sections = new Map<string, string[]>();
  const shown = new Map<string, string>();
  for (const [path, operations] of Object.entries(paths)) {
    for (const [method, operation] of Object.entries(operations)) {
      const [tag = "Other"] = operation.tags;
      const section = sections.get(tag) ?? [];
      sections.set(tag, section);
      section.push(describe(method, path, operation, shown));
    }
  }
  const text = [...sections].map(([tag, operations]) => `## ${tag}\n\n${operations.join("\n\n")}`).join("\n\n");
  return `# REST API

All paths are below \`/client/v4\`. The server answers the same description as an OpenAPI 3.1 document, with the rules of every field, at \`/client/v4/openapi.json\`. What is the same as on Cloudflare and what is not stands in the [compatibility table](compatibility.md#rest-api); sections named *Millrace* are extensions.

- **Token**: \`Authorization: Bearer <token>\`, or \`X-Auth-Key\` beside \`X-Auth-Email\`. *Needs* names the scope; \`admin\` may do everything, \`workers:write\` also what \`queues:write\` may, and that also what \`queues:read\` may.
- **Request bodies** are JSON in UTF-8, whatever the content type says.
- **Answers** are JSON in an envelope: \`{"success", "errors": [{"code", "message"}], "messages", "result", "result_info"}\`. Below, *result* is what stands in \`result\`. [Errors](errors.md) have a 4xx or 5xx status and \`"success": false\`.
- **Headers of its own**: \`Millrace-Wait-Seconds\`, 0 to 60, on pull: wait for a first message; \`Millrace-Message-Source\` on push and bulk push: where the message comes from.
- **Sending again**: a message may carry an id of its sender's, \`millrace_message_id\`, 32 lower-case hex digits that are different for each message. What was accepted under an id lately is not accepted under it again: the request is answered as if it were stored. A request that is sent again because its answer was lost says so with \`Millrace-Resend: <milliseconds since the first try>\`, up to a day; then messages that a server accepted before it was started anew are recognised too, as long as they are still in the queue. Answers of a server that knows all this carry \`Millrace-Message-Ids: known\`.
- **Settling with a pull**: a pull may carry \`millrace_settle\`, a body as of *ackMessages*. It is settled first, in the same step; \`millrace_settled\` says what became of it, once the pull is answered. When the pull is refused, or its answer lost, the leases may be settled nevertheless: naming them again is safe. \`millrace_batches\` lets a pull bring up to so many times its batch size.
- **Lists** without \`page\` and \`per_page\` are whole; a page beyond the last is empty.

In the shapes, \`?\` marks what may be absent and \`1..100\` is a whole number in that range.

${text}
`;
}

/** The document does not depend on what a server holds, so none is needed behind it. */
async function readDocument(): Promise<Document> {
  const nothing = { host: { onTrace: () => () => undefined }, version: "", accountId: "" };
  await using api = createApi(nothing as unknown as Parameters<typeof createApi>[0]);
  const response = await api.server.inject({ method: "GET", url: "/client/v4/openapi.json" });
  if (response.statusCode !== 200) throw new Error(`the OpenAPI document was answered with ${response.statusCode}`);
  return JSON.parse(response.body) as Document;
}

function describe(method: string, path: string, operation: Operation, shown: Map<string, string>): string {
  const { operationId, summary, parameters = [], requestBody, responses } = operation;
  const parts = [`### ${method.toUpperCase()} ${path}`, `${summary}.${needsText(operation["x-scope"])}`];
  const query = parameters.filter((parameter) => parameter.in === "query");
  if (query.length > 0)
    parts.push(`Query: ${query.map(({ name, schema }) => code(`${name}: ${shapeOf(schema)}`)).join(", ")}`);
  for (const [type, { schema }] of Object.entries(requestBody?.content ?? {})) {
    if (type === "application/json") parts.push(shape("Request", shapeOf(schema), operationId, shown));
    else if (typeof schema["description"] === "string") parts.push(`Request, ${code(type)}: ${schema["description"]}.`);
  }
  const {
    "application/json": json,
    "application/octet-stream": file,
    "application/x-ndjson": lines,
  } = responses[200].content;
  if (json !== undefined) parts.push(shape("Result", shapeOf(json.schema.properties.result), operationId, shown));
  if (file !== undefined) parts.push(`Answers a file: ${file.schema.description}.`);
  if (lines !== undefined) parts.push(`Answers \`application/x-ndjson\`: ${lines.schema.description}.`);
  return parts.join("\n\n");
}

function needsText(scope: string | undefined): string {
  if (scope === undefined) return " Needs no token.";
  return scope === "token" ? " Needs any valid token." : ` Needs ${code(scope)}.`;
}

/** A long shape is shown once; whoever answers the same, or a list of it, says so. */
function shape(title: string, text: string, operationId: string, shown: Map<string, string>): string {
  if (!text.includes("\n")) return `${title}: ${code(text)}`;
  const before = shown.get(text);
  if (before !== undefined) return `${title}: as of ${before}.`;
  const one = text.endsWith("[]") ? shown.get(text.slice(0, -2)) : undefined;
  if (one !== undefined) return `${title}: a list of what stands as ${one}.`;
  shown.set(text, `*${operationId}*, ${title.toLowerCase()}`);
  return `${title} (*${operationId}*):\n\n${block(text, "text")}`;
}
