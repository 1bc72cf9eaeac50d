// Event subscriptions are stored; R2 notifications are refused.
import assert from "node:assert/strict";
import { test } from "node:test";

import { ApiHarness, refusal } from "./api-harness.ts";

interface Subscription {
  readonly id: string;
  readonly name: string;
  readonly events: readonly string[];
}

const path = "/event_subscriptions/subscriptions";

test("a subscription is stored, shown, listed, changed and deleted, and says that nothing comes of it", async () => {
  await using harness = await ApiHarness.open();
  const queue = (await harness.queue("events")).slice("/queues/".length);
  const wanted = {
    name: "events kv",
    enabled: true,
    events: ["namespace.created"],
    source: { type: "kv" },
    destination: { type: "queues.queue", queue_id: queue },
  };
  const reply = await harness.call("POST", path, wanted);
  const created = reply.result as Subscription;
  const now = new Date(harness.time.now()).toISOString();
  assert.deepEqual(created, { ...wanted, id: created.id, created_at: now, modified_at: now });
  assert.match(reply.envelope.messages[0] ?? "", /kv is a service of Cloudflare: no event will come of it here/);
  assert.deepEqual(await harness.must("GET", `${path}/${created.id}`), created);
  const patched = await harness.must<Subscription>("PATCH", `${path}/${created.id}`, {
    name: "renamed",
    events: ["namespace.deleted"],
  });
  assert.deepEqual([patched.name, patched.events], ["renamed", ["namespace.deleted"]]);
  assert.deepEqual(await harness.must("DELETE", `${path}/${created.id}`), patched);
  assert.equal((await harness.call("GET", `${path}/${created.id}`)).status, 404);
});

test("lists are ordered, filtered by queue, and end with an empty page", async () => {
  await using harness = await ApiHarness.open();
  const queue = (await harness.queue("events")).slice("/queues/".length);
  for (const name of ["b", "a", "c"]) {
    await harness.must("POST", path, {
      name,
      events: ["x.y"],
      source: { type: "r2" },
      destination: { type: "queues.queue", queue_id: queue },
    });
  }
  const names = async (query: string) =>
    (await harness.must<Subscription[]>("GET", path + query)).map(({ name }) => name);
  assert.deepEqual(await names(""), ["b", "a", "c"]);
  assert.deepEqual(await names("?page=2"), []);
  assert.deepEqual(await names("?order=name&direction=desc"), ["c", "b", "a"]);
  assert.deepEqual(await names(`?page=1&per_page=2&queue_id=${queue}`), ["b", "a"]);
  assert.deepEqual(await names(`?queue_id=${"0".repeat(32)}`), []);
  assert.equal(refusal(await harness.call("GET", `${path}?order=colour`)), "400 10026");
});

test("the subscriptions of a queue end with it", async () => {
  await using harness = await ApiHarness.open();
  const events = { name: "n", events: ["x.y"], source: { type: "r2" } };
  const subscribe = async (queue: string) => {
    const destination = { type: "queues.queue", queue_id: queue.slice("/queues/".length) };
    return await harness.must<Subscription>("POST", path, { ...events, destination });
  };
  const [gone, stays] = [await harness.queue("gone"), await harness.queue("stays")];
  await subscribe(gone);
  await subscribe(gone);
  const { id } = await subscribe(stays);
  await harness.must("DELETE", gone);
  assert.deepEqual(
    (await harness.must<Subscription[]>("GET", path)).map((subscription) => subscription.id),
    [id],
  );
  const actions = (await harness.must<{ action: string }[]>("GET", "/millrace/audit?limit=4")).map(
    ({ action }) => action,
  );
  assert.deepEqual(actions.toSorted().slice(0, 3), ["CreateSubscription", "DeleteQueue", "DeleteSubscription"]);
});

test("subscriptions that make no sense are refused", async () => {
  await using harness = await ApiHarness.open();
  const queue_id = (await harness.queue("events")).slice("/queues/".length);
  const good = {
    name: "n",
    events: ["namespace.created"],
    source: { type: "kv" },
    destination: { type: "queues.queue", queue_id },
  };
  const attempt = async (changes: object) => await harness.call("POST", path, { ...good, ...changes });
  const unknown = await attempt({ events: ["namespace.created", "made.up"] });
  assert.equal(refusal(unknown), "400 0");
  assert.match(unknown.message, /Unrecognized event types: made\.up/);
  for (const changes of [
    { name: "" },
    { events: [] },
    { events: "x" },
    { source: {} },
    { source: { type: "constructor" } },
    { source: { type: "workflows.workflow" } },
    { destination: { type: "email" } },
    { destination: undefined },
    { enabled: "yes" },
  ]) {
    assert.equal(refusal(await attempt(changes)), "400 0", JSON.stringify(changes));
  }
  assert.equal(
    refusal(await attempt({ destination: { type: "queues.queue", queue_id: "0".repeat(32) } })),
    "404 11000",
  );
});

test("notifications of R2 buckets are refused, for there are no buckets", async () => {
  await using harness = await ApiHarness.open();
  const bucket = "/event_notifications/r2/my-bucket/configuration";
  for (const [method, where] of [
    ["GET", bucket],
    ["PUT", `${bucket}/queues/${"0".repeat(32)}`],
    ["DELETE", `${bucket}/queues/${"0".repeat(32)}`],
  ] as const) {
    const reply = await harness.call(method, where, method === "PUT" ? { rules: [] } : undefined);
    assert.equal(refusal(reply), "400 10026");
    assert.match(reply.message, /no R2 buckets, so bucket my-bucket cannot notify/);
  }
});
