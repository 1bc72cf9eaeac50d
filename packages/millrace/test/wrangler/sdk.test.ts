// The official SDK (npm `cloudflare` 7.3.0) against this server: every queue method. Recorded in November 2026.
import assert from "node:assert/strict";
import { test } from "node:test";

import Cloudflare, { APIError } from "cloudflare";
import { accountId, adminToken, ApiHarness } from "../api/api-harness.ts";
import { uploadWorker } from "../api/upload.ts";

const account_id = accountId;

async function connect(harness: ApiHarness, token = adminToken): Promise<Cloudflare> {
  const origin = harness.api.server.server.listening
    ? harness.api.server.listeningOrigin
    : await harness.api.listen({ host: "127.0.0.1", port: 0 });
  return new Cloudflare({ baseURL: `${origin}/client/v4`, apiToken: token });
}

/** The queue's id, which the SDK's types leave open. */
async function createQueue(client: Cloudflare, queue_name: string): Promise<string> {
  const { queue_id } = await client.queues.create({ account_id, queue_name });
  assert.ok(queue_id);
  return queue_id;
}

test("queues: create, get, list, update, edit, metrics, delete", async () => {
  await using harness = await ApiHarness.open();
  const client = await connect(harness);
  const id = await createQueue(client, "events");
  assert.equal((await client.queues.get(id, { account_id })).queue_name, "events");
  const names = [];
  for await (const queue of client.queues.list({ account_id })) names.push(queue.queue_name);
  assert.deepEqual(names, ["events"]);
  const updated = await client.queues.update(id, {
    account_id,
    queue_name: "renamed",
    settings: { delivery_delay: 5 },
  });
  assert.deepEqual(
    [updated.queue_name, updated.settings],
    ["renamed", { delivery_delay: 5, delivery_paused: false, message_retention_period: 345_600 }],
  );
  const edited = await client.queues.edit(id, { account_id, settings: { delivery_paused: true } });
  assert.deepEqual(edited.settings, { delivery_delay: 5, delivery_paused: true, message_retention_period: 345_600 });
  assert.deepEqual(await client.queues.getMetrics(id, { account_id }), {
    backlog_bytes: 0,
    backlog_count: 0,
    oldest_message_timestamp_ms: 0,
  });
  const deleted = await client.queues.delete(id, { account_id });
  assert.equal(deleted.success, true);
});

test("messages: push, bulkPush, pull, ack, peek, purge; purge of the queue: start, status", async () => {
  await using harness = await ApiHarness.open();
  const client = await connect(harness);
  const id = await createQueue(client, "events");
  await client.queues.consumers.create(id, { account_id, type: "http_pull", settings: { batch_size: 10 } });
  await client.queues.messages.push(id, { account_id, body: "text", content_type: "text" });
  await client.queues.messages.bulkPush(id, {
    account_id,
    messages: [
      { body: { a: 1 }, content_type: "json" },
      { body: "x", content_type: "text", delay_seconds: 60 },
    ],
  });
  const pulled = await client.queues.messages.pull(id, { account_id, batch_size: 10, visibility_timeout_ms: 5_000 });
  assert.equal(pulled.message_backlog_count, 3);
  const [first, second] = pulled.messages ?? [];
  assert.deepEqual([first?.body, second?.body], ["text", Buffer.from('{"a":1}').toString("base64")]);
  const settled = await client.queues.messages.ack(id, {
    account_id,
    acks: [{ lease_id: first?.lease_id ?? "" }],
    retries: [{ lease_id: second?.lease_id ?? "", delay_seconds: 1 }],
  });
  assert.deepEqual([settled.ackCount, settled.retryCount], [1, 1]);
  const peeked = await client.queues.messages.peek(id, { account_id, batch_size: 10 });
  assert.equal(peeked.messages?.length, 2);
  await client.queues.messages.purge(id, { account_id, refs: [{ ref: peeked.messages[0]?.ref ?? "" }] });
  assert.equal((await client.queues.getMetrics(id, { account_id })).backlog_count, 1);
  assert.equal((await client.queues.purge.start(id, { account_id, delete_messages_permanently: true })).queue_id, id);
  assert.equal((await client.queues.purge.status(id, { account_id })).completed, "true");
});

test("consumers: create, list, get, update, delete", async () => {
  await using harness = await ApiHarness.open();
  await uploadWorker(harness, "my-app");
  const client = await connect(harness);
  const queue_id = await createQueue(client, "events");
  const created = await client.queues.consumers.create(queue_id, {
    account_id,
    type: "worker",
    script_name: "my-app",
    dead_letter_queue: "dead",
    settings: { batch_size: 50, max_concurrency: 10, max_retries: 3, max_wait_time_ms: 5_000, retry_delay: 10 },
  });
  const id = created.consumer_id ?? "";
  const listed = [];
  for await (const consumer of client.queues.consumers.list(queue_id, { account_id })) listed.push(consumer);
  assert.deepEqual(listed, [created]);
  assert.deepEqual(await client.queues.consumers.get(id, { account_id, queue_id }), created);
  const updated = await client.queues.consumers.update(id, {
    account_id,
    queue_id,
    type: "worker",
    script_name: "my-app",
    settings: { batch_size: 9 },
  });
  assert.equal(updated.settings?.batch_size, 9);
  assert.equal((await client.queues.consumers.delete(id, { account_id, queue_id })).success, true);
});

test("subscriptions: create, list to the last page, get, update, delete", async () => {
  await using harness = await ApiHarness.open();
  const client = await connect(harness);
  const queue_id = await createQueue(client, "events");
  const created = await client.queues.subscriptions.create({
    account_id,
    name: "kv events",
    enabled: true,
    events: ["namespace.created"],
    source: { type: "kv" },
    destination: { type: "queues.queue", queue_id },
  });
  const listed = [];
  for await (const subscription of client.queues.subscriptions.list({ account_id })) listed.push(subscription.id);
  assert.deepEqual(listed, [created.id]);
  assert.equal((await client.queues.subscriptions.get(created.id, { account_id })).name, "kv events");
  assert.equal((await client.queues.subscriptions.update(created.id, { account_id, enabled: false })).enabled, false);
  assert.equal((await client.queues.subscriptions.delete(created.id, { account_id })).id, created.id);
});

test("failures become typed errors, and what cannot succeed is tried once", async () => {
  await using harness = await ApiHarness.open();
  let requests = 0;
  harness.api.server.server.on("request", () => (requests += 1));
  const client = await connect(harness);
  await createQueue(client, "events");
  const failure = async (work: Promise<unknown>): Promise<string> => {
    requests = 0;
    try {
      await work;
      return "no failure";
    } catch (error) {
      assert.ok(error instanceof APIError);
      return `${error.constructor.name} ${error.status} ${error.errors[0]?.code} after ${requests}`;
    }
  };
  assert.equal(
    await failure(client.queues.create({ account_id, queue_name: "events" })),
    "ConflictError 409 11009 after 1",
  );
  assert.equal(await failure(client.queues.get("0".repeat(32), { account_id })), "NotFoundError 404 11000 after 1");
  assert.equal(
    await failure(client.queues.create({ account_id, queue_name: "-" })),
    "BadRequestError 400 11003 after 1",
  );
  const stranger = await connect(harness, "wrong");
  assert.equal(await failure(stranger.queues.list({ account_id })), "AuthenticationError 401 10000 after 1");
});

test("Workers: scripts are listed, get secrets, and are deleted", async () => {
  await using harness = await ApiHarness.open();
  await uploadWorker(harness, "my-app");
  const client = await connect(harness);
  const listed = [];
  for await (const { id } of client.workers.scripts.list({ account_id })) listed.push(id);
  assert.deepEqual(listed, ["my-app"]);
  await client.workers.scripts.secrets.update("my-app", { account_id, name: "KEY", text: "s", type: "secret_text" });
  const secrets = [];
  for await (const { name } of client.workers.scripts.secrets.list("my-app", { account_id })) secrets.push(name);
  assert.deepEqual(secrets, ["KEY"]);
  const versions = [];
  for await (const { id } of client.workers.scripts.versions.list("my-app", { account_id })) versions.push(id);
  assert.equal(new Set(versions).size, 2);
  await client.workers.scripts.delete("my-app", { account_id, force: true });
});
