// Consumers over REST: one a queue, with every setting.
import assert from "node:assert/strict";
import { test } from "node:test";

import { ApiHarness, refusal } from "./api-harness.ts";
import { uploadWorker } from "./upload.ts";

interface Consumer {
  readonly consumer_id: string;
  readonly type: string;
  readonly settings: Record<string, unknown>;
  readonly dead_letter_queue: string;
}

test("a worker consumer is attached with defaults and shown the way wrangler and the SDK read it", async () => {
  await using harness = await ApiHarness.open();
  const path = await harness.queue("events");
  await uploadWorker(harness, "my-app");
  const created = await harness.must<Consumer>("POST", `${path}/consumers`, {
    type: "worker",
    script_name: "my-app",
    environment_name: "",
    settings: {},
  });
  assert.deepEqual(created, {
    consumer_id: created.consumer_id,
    created_on: new Date(harness.time.now()).toISOString(),
    queue_id: path.slice("/queues/".length),
    queue_name: "events",
    type: "worker",
    script: "my-app",
    script_name: "my-app",
    settings: { batch_size: 10, max_retries: 3, max_wait_time_ms: 5_000, max_concurrency: null, retry_delay: 0 },
    dead_letter_queue: "",
  });
  assert.deepEqual(await harness.must("GET", `${path}/consumers`), [created]);
  assert.deepEqual(await harness.must("GET", `${path}/consumers/${created.consumer_id}`), created);
  const queue = await harness.must<{ consumers: unknown[]; consumers_total_count: number }>("GET", path);
  assert.deepEqual([queue.consumers, queue.consumers_total_count], [[created], 1]);
  assert.equal(await harness.must("DELETE", `${path}/consumers/${created.consumer_id}`), null);
  assert.deepEqual(await harness.must("GET", `${path}/consumers`), []);
  assert.equal((await harness.call("DELETE", `${path}/consumers/${created.consumer_id}`)).status, 404);
});

test("settings are taken at the edges of their ranges and refused one beyond", async () => {
  await using harness = await ApiHarness.open();
  await uploadWorker(harness, "my-app");
  const path = await harness.queue("q");
  const edges = {
    worker: {
      batch_size: [1, 100],
      max_retries: [0, 100],
      max_wait_time_ms: [0, 60_000],
      max_concurrency: [1, 250],
      retry_delay: [0, 86_400],
    },
    http_pull: {
      batch_size: [1, 100],
      max_retries: [0, 100],
      visibility_timeout_ms: [0, 43_200_000],
      retry_delay: [0, 86_400],
    },
  } as const;
  for (const [type, settings] of Object.entries(edges)) {
    for (const [name, [min, max]] of Object.entries(settings)) {
      const attempt = async (value: unknown) => {
        const reply = await harness.call("POST", `${path}/consumers`, {
          type,
          script_name: "my-app",
          settings: { [name]: value },
        });
        if (reply.status !== 200) return refusal(reply);
        const { consumer_id, settings: stored } = reply.result as Consumer;
        assert.equal(stored[name], value);
        await harness.must("DELETE", `${path}/consumers/${consumer_id}`);
        return "ok";
      };
      for (const value of [min, max]) assert.equal(await attempt(value), "ok", `${type} ${name} ${value}`);
      for (const value of [min - 1, max + 1, min + 0.5, "5", true, {}]) {
        assert.equal(await attempt(value), "400 100127", `${type} ${name} ${JSON.stringify(value)}`);
      }
    }
  }
  const automatic = { type: "worker", script_name: "my-app", settings: { max_concurrency: null } };
  assert.equal(
    (await harness.must<Consumer>("POST", `${path}/consumers`, automatic)).settings["max_concurrency"],
    null,
  );
});

test("a queue has one consumer", async () => {
  await using harness = await ApiHarness.open();
  await uploadWorker(harness, "my-app");
  const path = await harness.queue("q");
  await harness.must("POST", `${path}/consumers`, { type: "http_pull" });
  for (const body of [{ type: "http_pull" }, { type: "worker", script_name: "my-app" }]) {
    const reply = await harness.call("POST", `${path}/consumers`, body);
    assert.equal(refusal(reply), "409 11004");
    assert.equal(reply.headers["x-should-retry"], "false");
  }
});

test("PUT replaces a consumer, type included, and attaches one where there is none", async () => {
  await using harness = await ApiHarness.open();
  await uploadWorker(harness, "my-app");
  const path = await harness.queue("q");
  const { consumer_id } = await harness.must<Consumer>("POST", `${path}/consumers`, {
    type: "http_pull",
    settings: { batch_size: 7, max_retries: 9 },
    dead_letter_queue: "dead",
  });
  const replaced = await harness.must<Consumer>("PUT", `${path}/consumers/${consumer_id}`, {
    type: "http_pull",
    settings: { batch_size: 8 },
  });
  assert.deepEqual(
    [replaced.settings["batch_size"], replaced.settings["max_retries"], replaced.dead_letter_queue],
    [8, 3, ""],
  );
  const turned = await harness.must<Consumer>("PUT", `${path}/consumers/${consumer_id}`, {
    type: "worker",
    script_name: "my-app",
  });
  assert.deepEqual([turned.consumer_id, turned.type], [consumer_id, "worker"]);
  assert.equal((await harness.call("PUT", `${path}/consumers/${"0".repeat(32)}`, { type: "http_pull" })).status, 404);
  await harness.must("DELETE", `${path}/consumers/${consumer_id}`);
  assert.equal(
    (await harness.must<Consumer>("PUT", `${path}/consumers/${consumer_id}`, { type: "http_pull" })).type,
    "http_pull",
  );
});

test("the body a consumer is read with can be sent back", async () => {
  await using harness = await ApiHarness.open();
  await uploadWorker(harness, "my-app");
  const path = await harness.queue("q");
  const created = await harness.must<Consumer>("POST", `${path}/consumers`, { type: "worker", script_name: "my-app" });
  assert.deepEqual(await harness.must("PUT", `${path}/consumers/${created.consumer_id}`, created), created);
});

test("bodies without a type, a Worker or a queue handler are refused", async () => {
  await using harness = await ApiHarness.open();
  await uploadWorker(harness, "no-handler", { source: "export default { fetch() {} }" });
  const path = await harness.queue("q");
  const attempt = async (body: unknown) => refusal(await harness.call("POST", `${path}/consumers`, body));
  for (const body of [
    undefined,
    {},
    [],
    { type: "email" },
    { settings: {} },
    { type: "worker" },
    { type: "worker", script_name: 7 },
  ]) {
    assert.equal(await attempt(body), "400 10026", JSON.stringify(body));
  }
  assert.equal(await attempt({ type: "worker", script_name: "absent" }), "404 10007");
  assert.equal(await attempt({ type: "worker", script_name: "../absent" }), "404 10007");
  assert.equal(await attempt({ type: "worker", script_name: "no-handler" }), "400 11001");
  assert.equal(await attempt({ type: "http_pull", dead_letter_queue: "q" }), "400 100127");
  assert.equal(await attempt({ type: "http_pull", dead_letter_queue: "not a name" }), "400 11003");
  assert.equal(await attempt({ type: "http_pull", dead_letter_queue: 7 }), "400 100127");
});

test("a dead letter queue that does not exist is created", async () => {
  await using harness = await ApiHarness.open();
  const path = await harness.queue("q");
  await harness.must("POST", `${path}/consumers`, { type: "http_pull", dead_letter_queue: "q-dlq" });
  assert.equal((await harness.must<unknown[]>("GET", "/queues?name=q-dlq")).length, 1);
});

test("a dead letter queue is in its source's jurisdiction: made there, refused elsewhere", async () => {
  await using harness = await ApiHarness.open();
  const create = async (queue_name: string, jurisdiction?: string) => {
    const { queue_id } = await harness.must<{ queue_id: string }>("POST", "/queues", { queue_name, jurisdiction });
    return `/queues/${queue_id}`;
  };
  const eu = await create("orders", "eu");
  const pull = (dead_letter_queue: string) => ({ type: "http_pull", dead_letter_queue });
  await create("us-dlq", "us");
  await create("free-dlq");
  for (const name of ["us-dlq", "free-dlq"]) {
    const reply = await harness.call("POST", `${eu}/consumers`, pull(name));
    assert.equal(refusal(reply), "400 100127");
    assert.match(reply.message, /orders has eu; they must be the same/);
  }
  const { consumer_id } = await harness.must<Consumer>("POST", `${eu}/consumers`, pull("orders-dlq"));
  const [made] = await harness.must<[{ jurisdiction: string }]>("GET", "/queues?name=orders-dlq");
  assert.equal(made.jurisdiction, "eu");
  assert.equal(refusal(await harness.call("PUT", `${eu}/consumers/${consumer_id}`, pull("us-dlq"))), "400 100127");
  const free = await create("mails");
  assert.equal(refusal(await harness.call("POST", `${free}/consumers`, pull("us-dlq"))), "400 100127");
  await harness.must("POST", `${free}/consumers`, pull("free-dlq"));
});
