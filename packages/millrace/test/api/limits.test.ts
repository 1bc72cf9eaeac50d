// Every number of the contract's table of limits, over REST: taken at its edges, refused one beyond with the documented code.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createQueue } from "../../src/broker/index.ts";
import type { CatalogDecision } from "../../src/broker/index.ts";
import { defaultQueueSettings, limits, parseQueueName } from "../../src/contract/index.ts";
import type { QueueRecord } from "../../src/core/index.ts";
import { ApiHarness, refusal } from "./api-harness.ts";
import type { Reply } from "./api-harness.ts";
import { upload } from "./upload.ts";

/** Calls with a value of the limit; made anew for each limit, with a queue `q` that clients pull from. */
type Attempt = (harness: ApiHarness, queue: string, value: number) => Promise<Reply>;

interface Row {
  readonly taken: readonly number[];
  readonly beyond: readonly number[];
  readonly refused: string;
  readonly attempt: Attempt;
}

const text = (length: number, body = "x"): object => ({ body: body.repeat(length), content_type: "text" });
const within = ({ min, max }: { readonly min: number; readonly max: number }) => ({
  taken: [min, max],
  beyond: [min - 1, max + 1],
});
const upTo = (max: number) => ({ taken: [max], beyond: [max + 1] });

const queueSetting =
  (name: string): Attempt =>
  async (harness, queue, value) =>
    await harness.call("PATCH", queue, { settings: { [name]: value } });
const intakeLimit =
  (name: string): Attempt =>
  async (harness, queue, value) =>
    await harness.call("PATCH", `/millrace${queue}/limits`, { [name]: value });
const consumerSetting =
  (type: "worker" | "http_pull", name: string): Attempt =>
  async (harness, queue, value) => {
    await upload(harness, "my-app");
    const [{ consumer_id }] = await harness.must<[{ consumer_id: string }]>("GET", `${queue}/consumers`);
    const settings = { [name]: value };
    return await harness.call("PUT", `${queue}/consumers/${consumer_id}`, { type, script_name: "my-app", settings });
  };
const message =
  (action: string, bodyOf: (value: number) => unknown): Attempt =>
  async (harness, queue, value) =>
    await harness.call("POST", `${queue}/messages${action}`, bodyOf(value));
/** JSON of exactly this many bytes. */
const jsonOf = (bytes: number): string => `{"queue_name":"large","ignored":"${"x".repeat(bytes - 35)}"}`;

const rows: Readonly<Record<string, Row | readonly Row[]>> = {
  "queue.nameLength": {
    ...within(limits.queue.nameLength),
    refused: "400 11003",
    attempt: async (harness, _queue, length) =>
      await harness.call("POST", "/queues", { queue_name: "n".repeat(length) }),
  },
  "queue.perAccount": {
    ...upTo(limits.queue.perAccount),
    refused: "403 11010",
    attempt: async (harness, _queue, count) => {
      await fillAccount(harness, count - 1);
      return await harness.call("POST", "/queues", { queue_name: `queue-${count}` });
    },
  },
  "queue.deliveryDelay": {
    ...within(limits.queue.deliveryDelay),
    refused: "400 100128",
    attempt: queueSetting("delivery_delay"),
  },
  "queue.retention": {
    ...within(limits.queue.retention),
    refused: "400 100128",
    attempt: queueSetting("message_retention_period"),
  },
  "queue.backlogLimit": {
    ...within(limits.queue.backlogLimit),
    refused: "400 100128",
    attempt: intakeLimit("backlog_limit_bytes"),
  },
  "queue.throughputLimit": {
    ...within(limits.queue.throughputLimit),
    refused: "400 100128",
    attempt: intakeLimit("messages_per_second"),
  },
  "message.bytes": [
    { ...upTo(limits.message.bytes), refused: "413 10204", attempt: message("", (length) => text(length)) },
    { ...upTo(limits.message.bytes), refused: "413 10204", attempt: message("", (length) => text(length, "\u0000")) },
    // Bytes count, not characters: two a letter here, and the quotation marks of JSON.
    {
      taken: [limits.message.bytes / 2 - 1],
      beyond: [limits.message.bytes / 2],
      refused: "413 10204",
      attempt: message("", (length) => ({ body: "ü".repeat(length) })),
    },
    {
      ...upTo(limits.message.bytes),
      refused: "413 10204",
      attempt: message("/batch", (length) => ({ messages: [text(length)] })),
    },
  ],
  "message.delay": [
    {
      ...within(limits.message.delay),
      refused: "400 10203",
      attempt: message("", (delay_seconds) => ({ body: 1, delay_seconds })),
    },
    {
      ...within(limits.message.delay),
      refused: "400 10203",
      attempt: message("/batch", (delay_seconds) => ({ messages: [{ body: 1, delay_seconds }] })),
    },
    {
      ...within(limits.message.delay),
      refused: "400 10202",
      attempt: message("/batch", (delay_seconds) => ({ messages: [{ body: 1 }], delay_seconds })),
    },
    {
      ...within(limits.message.delay),
      refused: "400 10026",
      attempt: message("/ack", (delay_seconds) => ({ retries: [{ lease_id: "x", delay_seconds }] })),
    },
  ],
  "batchSend.count": {
    ...within(limits.batchSend.count),
    refused: "413 10206",
    attempt: message("/batch", (count) => ({ messages: Array.from({ length: count }, () => ({ body: 1 })) })),
  },
  "batchSend.bytes": {
    ...upTo(limits.batchSend.bytes),
    refused: "413 10205",
    attempt: message("/batch", (bytes) => ({
      messages: [128_000, 127_000, bytes - 255_000].map((size) => text(size)),
    })),
  },
  "consumer.batchSize": {
    ...within(limits.consumer.batchSize),
    refused: "400 100127",
    attempt: consumerSetting("worker", "batch_size"),
  },
  "consumer.maxWait": {
    ...within(limits.consumer.maxWait),
    refused: "400 100127",
    attempt: consumerSetting("worker", "max_wait_time_ms"),
  },
  "consumer.maxRetries": [
    {
      ...within(limits.consumer.maxRetries),
      refused: "400 100127",
      attempt: consumerSetting("worker", "max_retries"),
    },
    {
      ...within(limits.consumer.maxRetries),
      refused: "400 100127",
      attempt: consumerSetting("http_pull", "max_retries"),
    },
  ],
  "consumer.maxConcurrency": {
    ...within(limits.consumer.maxConcurrency),
    refused: "400 100127",
    attempt: consumerSetting("worker", "max_concurrency"),
  },
  "consumer.retryDelay": [
    {
      ...within(limits.consumer.retryDelay),
      refused: "400 100127",
      attempt: consumerSetting("worker", "retry_delay"),
    },
    {
      ...within(limits.consumer.retryDelay),
      refused: "400 100127",
      attempt: consumerSetting("http_pull", "retry_delay"),
    },
  ],
  "pull.batchSize": [
    { ...within(limits.pull.batchSize), refused: "400 10026", attempt: message("/pull", (n) => ({ batch_size: n })) },
    {
      ...within(limits.pull.batchSize),
      refused: "400 100127",
      attempt: consumerSetting("http_pull", "batch_size"),
    },
  ],
  "pull.visibilityTimeout": [
    {
      ...within(limits.pull.visibilityTimeout),
      refused: "400 10026",
      attempt: message("/pull", (visibility_timeout_ms) => ({ visibility_timeout_ms })),
    },
    {
      ...within(limits.pull.visibilityTimeout),
      refused: "400 100127",
      attempt: consumerSetting("http_pull", "visibility_timeout_ms"),
    },
    {
      ...within(limits.pull.visibilityTimeout),
      refused: "400 10026",
      attempt: async (harness, queue, visibility_timeout_ms) =>
        await harness.call("POST", `/millrace${queue}/messages/extend`, { leases: [], visibility_timeout_ms }),
    },
  ],
  "peek.batchSize": {
    ...within(limits.peek.batchSize),
    refused: "400 10026",
    attempt: message("/peek", (batch_size) => ({ batch_size })),
  },
  "request.jsonBytes": {
    ...upTo(limits.request.jsonBytes),
    refused: "413 10026",
    attempt: async (harness, _queue, bytes) => {
      const raw = jsonOf(bytes);
      assert.equal(raw.length, bytes);
      return await harness.call("POST", "/queues", undefined, { raw });
    },
  },
  "request.jsonDepth": {
    ...upTo(limits.request.jsonDepth),
    refused: "400 10208",
    attempt: async (harness, queue, depth) => {
      const raw = `{"body":${"[".repeat(depth - 1)}${"]".repeat(depth - 1)}}`;
      return await harness.call("POST", `${queue}/messages`, undefined, { raw });
    },
  },
  "request.pageSize": {
    ...within(limits.request.pageSize),
    refused: "400 10026",
    attempt: async (harness, _queue, size) => await harness.call("GET", `/queues?per_page=${size}`),
  },
  "worker.modules": {
    ...upTo(limits.worker.modules),
    refused: "400 10026",
    attempt: async (harness, _queue, count) => {
      const module = { content: "", type: "text/plain" };
      const more = Array.from({ length: count - 1 }, (_, number) => [`module-${number}.txt`, module] as const);
      return await upload(harness, "my-app", { modules: Object.fromEntries(more) });
    },
  },
  "worker.bindings": {
    ...upTo(limits.worker.bindings),
    refused: "400 10021",
    attempt: async (harness, _queue, count) => {
      const bindings = Array.from({ length: count }, (_, n) => ({ type: "plain_text", name: `V${n}`, text: "" }));
      return await upload(harness, "my-app", { bindings });
    },
  },
};

/** Limits that are no range of a request's field, and where they are shown instead. */
const shownElsewhere: Readonly<Record<string, string>> = {
  "queue.backlogBytes": "below, and through the binding in worker-host/limits.test.ts",
  "consumer.wallTimeMs": "worker-host/supervision.test.ts, with a shorter one",
  "worker.uploadBytes": "below",
  "worker.versions": "below",
  "worker.deployments": "below",
};

for (const [limit, all] of Object.entries(rows)) {
  test(`${limit} is taken at its edges and refused one beyond`, async () => {
    for (const { taken, beyond, refused, attempt } of [all].flat()) {
      await using harness = await ApiHarness.open();
      const queue = await harness.queue("q");
      await harness.must("POST", `${queue}/consumers`, { type: "http_pull" });
      for (const value of taken) {
        const reply = await attempt(harness, queue, value);
        assert.equal(reply.status, 200, `${limit} ${value}: ${reply.message}`);
      }
      for (const value of beyond) {
        const reply = await attempt(harness, queue, value);
        assert.equal(refusal(reply), refused, `${limit} ${value}: ${reply.message}`);
      }
    }
  });
}

test("no limit of the table is forgotten here", () => {
  const found: string[] = [];
  const walk = (value: object, path: readonly string[]): void => {
    for (const [name, inner] of Object.entries(value)) {
      const isLimit = typeof inner === "number" || "unit" in inner;
      if (isLimit) found.push([...path, name].join("."));
      else walk(inner as object, [...path, name]);
    }
  };
  walk(limits, []);
  assert.deepEqual(found.toSorted(), [...Object.keys(rows), ...Object.keys(shownElsewhere)].toSorted());
});

test("a queue takes 25 GB unless it is told otherwise, to the byte, and says when that is reached", async () => {
  await using harness = await ApiHarness.open();
  const queue = await harness.queue("full");
  const limitsPath = `/millrace${queue}/limits`;
  const { backlog_limit_bytes } = await harness.must<{ backlog_limit_bytes: number }>("GET", limitsPath);
  assert.equal(backlog_limit_bytes, limits.queue.backlogBytes);
  await harness.must("PATCH", limitsPath, { backlog_limit_bytes: 1_000_000 });
  for (let sent = 0; sent < 10; sent += 1) await harness.must("POST", `${queue}/messages`, text(100_000));
  for (const [action, body] of [
    ["", text(1)],
    ["/batch", { messages: [text(1)] }],
  ] as const) {
    const refused = await harness.call("POST", `${queue}/messages${action}`, body);
    assert.equal(refusal(refused), "429 10251");
    assert.match(refused.message, /^Storage Limit Exceeded: /);
    assert.equal(refused.headers["x-should-retry"], "false", "trying again does not make room");
    assert.equal(refused.headers["retry-after"], undefined);
  }
});

test("a queue takes as many messages a second as it is told, to the message, and says when to come back", async () => {
  await using harness = await ApiHarness.open();
  const queue = await harness.queue("busy");
  await harness.must("PATCH", `/millrace${queue}/limits`, { messages_per_second: 4 });
  const bulk = async (count: number): Promise<Reply> =>
    await harness.call("POST", `${queue}/messages/batch`, { messages: Array.from({ length: count }, () => text(1)) });
  assert.equal((await bulk(3)).status, 200);
  assert.equal((await harness.call("POST", `${queue}/messages`, text(1))).status, 200);
  for (const refused of [await bulk(2), await harness.call("POST", `${queue}/messages`, text(1))]) {
    assert.equal(refusal(refused), "429 10250");
    assert.match(refused.message, /^Too Many Requests: /);
    assert.equal(refused.headers["x-should-retry"], undefined);
  }
  const { headers } = await bulk(2);
  assert.deepEqual([headers["retry-after"], headers["retry-after-ms"]], ["1", "500"]);
  await harness.time.advance(500);
  assert.equal((await bulk(2)).status, 200);
});

test("an upload is taken up to 64 MiB and refused beyond", async () => {
  await using harness = await ApiHarness.open();
  const boundary = "x".repeat(20);
  const part = (name: string, type: string, content: string): string =>
    `--${boundary}\r\nContent-Disposition: form-data; name="${name}"; filename="${name}"\r\nContent-Type: ${type}\r\n\r\n${content}\r\n`;
  const metadata = JSON.stringify({ main_module: "index.js", compatibility_date: "2026-10-01" });
  const head =
    part("metadata", "application/json", metadata) +
    part("index.js", "application/javascript+module", "export default { fetch() {} }");
  const formOf = (bytes: number): Buffer => {
    const frame = `${head}${part("data.bin", "application/octet-stream", "")}--${boundary}--\r\n`;
    const content = "x".repeat(bytes - frame.length);
    return Buffer.from(`${head}${part("data.bin", "application/octet-stream", content)}--${boundary}--\r\n`);
  };
  const send = async (bytes: number): Promise<Reply> => {
    const headers = { "content-type": `multipart/form-data; boundary=${boundary}` };
    return await harness.call("PUT", "/workers/scripts/large", undefined, { raw: formOf(bytes), headers });
  };
  const largest = await send(limits.worker.uploadBytes);
  assert.equal(largest.status, 200, largest.message);
  assert.equal(refusal(await send(limits.worker.uploadBytes + 1)), "413 10026");
});

test("the newest versions and deployments of a Worker are kept, the oldest forgotten", async () => {
  await using harness = await ApiHarness.open();
  const { versions, deployments } = limits.worker;
  const count = async (path: string, of: string): Promise<number> =>
    (await harness.must<Record<string, readonly unknown[]>>("GET", `/workers/scripts/my-app/${path}`))[of]?.length ?? 0;
  for (let number = 0; number < deployments; number += 1) await upload(harness, "my-app");
  assert.equal(await count("deployments", "deployments"), deployments);
  for (let number = deployments; number < versions; number += 1) await upload(harness, "my-app");
  assert.deepEqual(
    [await count("versions", "items"), await count("deployments", "deployments")],
    [versions, deployments],
  );
  await upload(harness, "my-app");
  assert.deepEqual(
    [await count("versions", "items"), await count("deployments", "deployments")],
    [versions, deployments],
  );
});

/** Makes queues until there are this many, in one step. */
async function fillAccount({ controlPlane }: ApiHarness, count: number): Promise<void> {
  await controlPlane.change("test", (view, context): CatalogDecision<undefined> => {
    const made: CatalogDecision<QueueRecord>[] = [];
    for (let number = view.all("queue").length; number < count; number += 1) {
      const name = parseQueueName(`filler-${number}`);
      made.push(createQueue(view, context, { name, settings: defaultQueueSettings, jurisdiction: null }));
    }
    return { operations: made.flatMap(({ operations }) => operations), audit: [], result: undefined };
  });
}
