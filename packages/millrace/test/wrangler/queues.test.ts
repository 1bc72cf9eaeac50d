// `wrangler queues …` against this server. Expectations recorded with wrangler 4.153.0 and 4.164.0 in November 2026.
import assert from "node:assert/strict";
import { test } from "node:test";

import { uploadWorker } from "../api/upload.ts";
import { WranglerHarness } from "./wrangler-harness.ts";

interface Queue {
  readonly queue_id: string;
  readonly settings: Record<string, unknown>;
  readonly consumers: readonly {
    readonly type: string;
    readonly settings: object;
    readonly dead_letter_queue: string;
  }[];
}

async function queueOf(harness: WranglerHarness, name: string): Promise<Queue> {
  const [queue] = await harness.api.must<Queue[]>("GET", `/queues?name=${name}`);
  assert.ok(queue, `queue ${name} exists`);
  return queue;
}

test("queues create, list, info, update, pause, resume, purge, delete", async () => {
  await using harness = await WranglerHarness.open();
  const created = await harness.must(
    "queues create events --delivery-delay-secs 5 --message-retention-period-secs 600",
  );
  assert.match(created, /Created queue 'events'/);
  assert.deepEqual((await queueOf(harness, "events")).settings, {
    delivery_delay: 5,
    delivery_paused: false,
    message_retention_period: 600,
  });
  assert.match(
    await harness.must("queues list"),
    /│ events │ 2027-01-15T08:00:00\.000Z │ 2027-01-15T08:00:00\.000Z │ 0 +│ 0 +│/,
  );
  const info = await harness.must("queues info events");
  assert.match(
    info,
    /Queue Name: events\nQueue ID: [0-9a-f]{32}\nCreated On: .*\nLast Modified: .*\nNumber of Producers: 0\nNumber of Consumers: 0/,
  );

  assert.match(await harness.must("queues update events --delivery-delay-secs 9"), /Updated queue events\./);
  await harness.must("queues pause-delivery events");
  assert.deepEqual((await queueOf(harness, "events")).settings, {
    delivery_delay: 9,
    delivery_paused: true,
    message_retention_period: 600,
  });
  assert.match(await harness.must("queues resume-delivery events"), /Resumed message delivery for queue events\./);
  assert.equal((await queueOf(harness, "events")).settings["delivery_paused"], false);

  const { queue_id } = await queueOf(harness, "events");
  await harness.api.must("POST", `/queues/${queue_id}/messages`, { body: 1 });
  assert.match(await harness.must("queues purge events --force"), /Purged Queue 'events'/);
  assert.equal(
    (await harness.api.must<{ backlog_count: number }>("GET", `/queues/${queue_id}/metrics`)).backlog_count,
    0,
  );

  assert.match(await harness.must("queues delete events"), /Deleted queue events\./);
  assert.match(
    await harness.refused("queues info events"),
    /Queue "events" does not exist\. To create it, run: wrangler queues create events/,
  );
});

test("queues create says what is wrong with a name, a name that is taken, and a token", async () => {
  await using harness = await WranglerHarness.open();
  await harness.must("queues create events");
  assert.match(await harness.refused("queues create events"), /A queue named events exists already.*\[code: 11009\]/);
  assert.match(
    await harness.refused("queues create not_a_name"),
    /Queue name "not_a_name" is not valid.*\[code: 11003\]/,
  );
  assert.match(await harness.refused("queues list", { token: "wrong" }), /The token is not valid.*\[code: 10000\]/);
});

test("queues consumer: worker add, list, remove", async () => {
  await using harness = await WranglerHarness.open();
  await harness.api.queue("events");
  assert.match(
    await harness.refused("queues consumer add events my-app"),
    /Worker my-app does not exist.*\[code: 10007\]/,
  );
  await uploadWorker(harness.api, "my-app");
  const flags =
    "--batch-size 7 --batch-timeout 9 --message-retries 2 --dead-letter-queue dead --max-concurrency 4 --retry-delay-secs 8";
  assert.match(await harness.must(`queues consumer add events my-app ${flags}`), /Added consumer to queue events\./);
  const [consumer] = (await queueOf(harness, "events")).consumers;
  assert.deepEqual(consumer?.settings, {
    batch_size: 7,
    max_retries: 2,
    max_wait_time_ms: 9_000,
    max_concurrency: 4,
    retry_delay: 8,
  });
  assert.equal(consumer.dead_letter_queue, "dead");
  await queueOf(harness, "dead");
  assert.match(await harness.must("queues info events"), /Number of Consumers: 1\nConsumers: worker:my-app/);
  assert.match(await harness.must("queues consumer list events"), /my-app/);
  assert.match(
    await harness.refused("queues consumer worker add events my-app"),
    /already has a consumer: the Worker my-app.*\[code: 11004\]/,
  );
  assert.match(
    await harness.must("queues consumer worker remove events my-app"),
    /Removed consumer from queue events\./,
  );
  assert.deepEqual((await queueOf(harness, "events")).consumers, []);
  assert.match(
    await harness.refused("queues consumer add events my-app --batch-size 101"),
    /settings\.batch_size: expected a whole number of messages from 1 to 100, got 101.*\[code: 100127\]/,
  );
});

test("queues consumer http: add, list, remove", async () => {
  await using harness = await WranglerHarness.open();
  await harness.api.queue("events");
  const flags =
    "--batch-size 7 --message-retries 2 --dead-letter-queue dead --visibility-timeout-secs 60 --retry-delay-secs 8";
  await harness.must(`queues consumer http add events ${flags}`);
  const [consumer] = (await queueOf(harness, "events")).consumers;
  assert.equal(consumer?.type, "http_pull");
  assert.deepEqual(consumer.settings, { batch_size: 7, max_retries: 2, visibility_timeout_ms: 60_000, retry_delay: 8 });
  assert.match(await harness.must("queues info events"), /HTTP Pull Consumer\./);
  const listed = JSON.parse(await harness.must("queues consumer list events --json")) as unknown[];
  assert.equal(listed.length, 1);
  await harness.must("queues consumer http remove events");
  assert.match(
    await harness.refused("queues consumer http remove events"),
    /No http_pull consumer exists for queue events/,
  );
});

test("queues subscription: create, list, get, update, delete", async () => {
  await using harness = await WranglerHarness.open();
  await harness.api.queue("events");
  const created = await harness.must(
    "queues subscription create events --source kv --events namespace.created,namespace.deleted",
  );
  const id = /with id '([0-9a-f]{32})'/.exec(created)?.[1] ?? "";
  assert.match(await harness.must("queues subscription list events"), new RegExp(id));
  assert.match(await harness.must(`queues subscription get events --id ${id}`), /events kv/);
  await harness.must(`queues subscription update events --id ${id} --name renamed --enabled false`);
  const [stored] = await harness.api.must<[{ name: string; enabled: boolean }]>(
    "GET",
    "/event_subscriptions/subscriptions",
  );
  assert.deepEqual([stored.name, stored.enabled], ["renamed", false]);
  await harness.must(`queues subscription delete events --id ${id} --force`);
  assert.match(
    await harness.refused("queues subscription create events --source kv --events made.up"),
    /Unrecognized event types: made\.up/,
  );
});
