// docs/reference/limits.md: the numbers of the contract, and what is answered beyond them.

import { cloudflareError, limits } from "../../packages/millrace/src/contract/index.ts";
import type { Plane, WholeNumberLimit } from "../../packages/millrace/src/contract/index.ts";
import type { ErrorCode } from "../../packages/millrace/src/core/index.ts";
import { code, grouped, table } from "./markdown.ts";

interface Words {
  readonly what: string;
  /** Where it is set, or where it counts. */
  readonly where: string;
  readonly beyond: readonly ErrorCode[] | string;
  readonly plane?: Plane;
  readonly unit?: string;
  /** Shown instead of the default in the table: a limit that no setting changes has none. */
  readonly fixed?: true;
}

const queueSetting = (name: string): Pick<Words, "where" | "beyond"> => ({
  where: `queue: ${code(name)}`,
  beyond: ["QUEUE_SETTINGS_INVALID"],
});
const consumerSetting = (name: string, config?: string): Pick<Words, "where" | "beyond"> => ({
  where: `consumer: ${code(name)}${config === undefined ? "" : `; in the Wrangler configuration ${code(config)}`}`,
  beyond: ["CONSUMER_SETTINGS_INVALID"],
});

/** Sections of the page, with an entry for every number of the table in the code. */
const sections: Readonly<Record<string, Readonly<Record<string, Words>>>> = {
  Queues: {
    "queue.nameLength": { what: "Length of a name", where: "", beyond: ["QUEUE_NAME_INVALID"], fixed: true },
    "queue.perAccount": { what: "Queues", where: "account", beyond: ["QUEUE_LIMIT_REACHED"], unit: "queues" },
    "queue.deliveryDelay": { what: "Delivery delay of a queue", ...queueSetting("delivery_delay") },
    "queue.retention": { what: "Retention", ...queueSetting("message_retention_period") },
    "queue.backlogBytes": {
      what: "Backlog, unless set",
      where: "queue: bodies of all messages stored",
      beyond: ["BACKLOG_FULL"],
      plane: "data",
      unit: "bytes",
    },
    "queue.backlogLimit": { what: "What the backlog limit may be set to", ...queueSetting("backlog_limit_bytes") },
    "queue.throughputLimit": {
      what: "What the rate limit may be set to; without one nothing is limited",
      ...queueSetting("messages_per_second"),
      fixed: true,
    },
  },
  Messages: {
    "message.bytes": {
      what: "Body of a message",
      where: "send, push",
      beyond: ["MESSAGE_TOO_LARGE"],
      plane: "data",
      unit: "bytes",
    },
    "message.delay": {
      what: "Delay of a message or a batch, and of a retry over REST",
      where: "send, push, ack",
      beyond: ["DELAY_INVALID", "BATCH_DELAY_INVALID"],
      plane: "data",
    },
    "batchSend.count": {
      what: "Messages of a batch",
      where: "`sendBatch`, bulk push",
      beyond: ["BATCH_COUNT_INVALID"],
      plane: "data",
      fixed: true,
    },
    "batchSend.bytes": {
      what: "Bodies of a batch together",
      where: "`sendBatch`, bulk push",
      beyond: ["BATCH_TOO_LARGE"],
      plane: "data",
      unit: "bytes",
    },
  },
  "Push consumers": {
    "consumer.batchSize": { what: "Batch size", ...consumerSetting("batch_size", "max_batch_size") },
    "consumer.maxWait": {
      what: "Batch timeout",
      ...consumerSetting("max_wait_time_ms", "max_batch_timeout"),
    },
    "consumer.maxRetries": { what: "Retries", ...consumerSetting("max_retries", "max_retries") },
    "consumer.maxConcurrency": {
      what: "Concurrency; unset it is automatic, up to the maximum",
      ...consumerSetting("max_concurrency", "max_concurrency"),
      fixed: true,
    },
    "consumer.retryDelay": { what: "Retry delay", ...consumerSetting("retry_delay", "retry_delay") },
    "consumer.wallTimeMs": {
      what: "One invocation of a queue handler",
      where: "wall time",
      beyond: "the handler is aborted with outcome `exceededWallTime`; the batch is retried",
      unit: "milliseconds",
    },
  },
  "Pull consumers": {
    "pull.batchSize": {
      what: "Messages of a pull",
      where: "consumer: `batch_size`; request: `batch_size`",
      beyond: ["CONSUMER_SETTINGS_INVALID", "REQUEST_INVALID"],
      plane: "pull",
    },
    "pull.visibilityTimeout": {
      what: "Visibility timeout",
      where: "consumer: `visibility_timeout_ms`; request: `visibility_timeout_ms`",
      beyond: ["CONSUMER_SETTINGS_INVALID", "REQUEST_INVALID"],
      plane: "pull",
    },
    "peek.batchSize": {
      what: "Messages of a peek; a queue with a consumer takes its batch size as default",
      where: "request: `batch_size`",
      beyond: ["REQUEST_INVALID"],
      plane: "pull",
    },
  },
  "Requests of the REST API": {
    "request.jsonBytes": {
      what: "A JSON body; push and bulk push have room for their largest messages",
      where: "every request",
      beyond: ["REQUEST_TOO_LARGE"],
      unit: "bytes",
    },
    "request.jsonDepth": {
      what: "Nesting of arrays and objects",
      where: "every JSON body",
      beyond: ["REQUEST_MALFORMED"],
      unit: "levels",
    },
    "request.pageSize": { what: "Items of a page", where: "lists: `per_page`", beyond: ["REQUEST_INVALID"] },
  },
  Workers: {
    "worker.uploadBytes": { what: "An upload", where: "deploy", beyond: ["REQUEST_TOO_LARGE"], unit: "bytes" },
    "worker.modules": { what: "Modules", where: "upload", beyond: ["REQUEST_INVALID"], unit: "modules" },
    "worker.bindings": { what: "Bindings", where: "upload", beyond: ["WORKER_INVALID"], unit: "bindings" },
    "worker.versions": {
      what: "Versions kept",
      where: "Worker",
      beyond: "the oldest that no deployment names is forgotten",
      unit: "versions",
    },
    "worker.deployments": {
      what: "Deployments kept",
      where: "Worker",
      beyond: "the oldest is forgotten",
      unit: "deployments",
    },
  },
};

export function limitsPage(): string {
  const found = new Map(leaves(limits, ""));
  const described = new Set(Object.values(sections).flatMap((section) => Object.keys(section)));
  const strangers = [...found.keys()].filter((path) => !described.has(path));
  if (strangers.length > 0)
    throw new Error(`Say in scripts/docs/limits-page.ts what these limits are: ${strangers.join(", ")}`);
  const shown = Object.entries(sections).map(([title, section]) => {
    const rows = Object.entries(section).map(([path, words]) => row(words, found.get(path), path));
    return `## ${title}\n\n${table(["Limit", "Where", "From", "To", "Default", "Beyond it"], rows)}`;
  });
  return `# Limits

The numbers are Cloudflare's unless the section says otherwise; [what differs](compatibility.md#12-limits) is in the compatibility table. KB means 1000 bytes. Ranges are of whole numbers and include both ends. The last column says the code, Cloudflare's number and the HTTP status of the [error](errors.md).

${shown.join("\n\n")}
`;
}

type Leaf = number | WholeNumberLimit;

function leaves(value: object, prefix: string): [string, Leaf][] {
  return Object.entries(value).flatMap(([key, inner]: [string, unknown]): [string, Leaf][] => {
    const path = prefix === "" ? key : `${prefix}.${key}`;
    if (typeof inner === "number") return [[path, inner]];
    if (typeof inner !== "object" || inner === null) throw new TypeError(`${path} is neither a number nor a range`);
    return "unit" in inner ? [[path, inner as WholeNumberLimit]] : leaves(inner, path);
  });
}

function row(words: Words, limit: Leaf | undefined, path: string): string[] {
  if (limit === undefined)
    throw new Error(`There is no limit ${path} any more: take it out of scripts/docs/limits-page.ts`);
  const range =
    typeof limit === "number"
      ? ["", `${grouped(limit)} ${words.unit ?? ""}`, ""]
      : [grouped(limit.min), `${grouped(limit.max)} ${limit.unit}`, words.fixed ? "" : grouped(limit.default)];
  return [words.what, words.where, ...range, beyond(words)];
}

function beyond({ beyond: answer, plane = "control" }: Words): string {
  if (typeof answer === "string") return answer;
  return answer
    .map((ours) => {
      const { code: number, status } = cloudflareError(ours, plane);
      return `${code(ours)} (${number}, ${status})`;
    })
    .join(" or ");
}
