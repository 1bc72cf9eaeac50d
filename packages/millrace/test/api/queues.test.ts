// Queues and their settings over REST.
import assert from "node:assert/strict";
import { test } from "node:test";

import { ApiHarness, refusal } from "./api-harness.ts";

interface Queue {
  readonly queue_id: string;
  readonly queue_name: string;
  readonly settings: Record<string, unknown>;
  readonly jurisdiction?: string;
}

test("a queue is created with defaults, listed, found by name and by id, and deleted", async () => {
  await using harness = await ApiHarness.open();
  const created = await harness.must<Queue>("POST", "/queues", { queue_name: "events" });
  assert.match(created.queue_id, /^[0-9a-f]{32}$/);
  assert.deepEqual(created, {
    queue_id: created.queue_id,
    queue_name: "events",
    created_on: "2027-01-15T08:00:00.000Z",
    modified_on: "2027-01-15T08:00:00.000Z",
    producers: [],
    producers_total_count: 0,
    consumers: [],
    consumers_total_count: 0,
    settings: { delivery_delay: 0, delivery_paused: false, message_retention_period: 345_600 },
  });
  assert.deepEqual(await harness.must("GET", "/queues"), [created]);
  assert.deepEqual(await harness.must("GET", "/queues?name=events&page=1"), [created]);
  assert.deepEqual(await harness.must("GET", `/queues/${created.queue_id}`), created);
  assert.equal(await harness.must("DELETE", `/queues/${created.queue_id}`), null);
  assert.equal(refusal(await harness.call("GET", `/queues/${created.queue_id}`)), "404 11000");
});

test("queue settings are taken at the edges of their ranges and refused one beyond", async () => {
  await using harness = await ApiHarness.open();
  const path = await harness.queue("edges");
  const settings = (fields: object) => harness.call("PATCH", path, { settings: fields });
  for (const fields of [
    { delivery_delay: 0 },
    { delivery_delay: 86_400 },
    { message_retention_period: 60 },
    { message_retention_period: 1_209_600 },
    { delivery_paused: true },
  ]) {
    assert.equal((await settings(fields)).status, 200, JSON.stringify(fields));
  }
  for (const fields of [
    { delivery_delay: -1 },
    { delivery_delay: 86_401 },
    { delivery_delay: 1.5 },
    { delivery_delay: "1" },
    { delivery_delay: null },
    { message_retention_period: 59 },
    { message_retention_period: 1_209_601 },
    { delivery_paused: "yes" },
    [],
    "x",
    null,
  ]) {
    const reply = await harness.call("PATCH", path, { settings: fields });
    assert.equal(refusal(reply), "400 100128", JSON.stringify(fields));
  }
  const { settings: kept } = await harness.must<Queue>("GET", path);
  assert.deepEqual(kept, { delivery_delay: 86_400, delivery_paused: true, message_retention_period: 1_209_600 });
});

test("a refused setting is named with its rule and what was sent", async () => {
  await using harness = await ApiHarness.open();
  const { message } = await harness.call("POST", "/queues", {
    queue_name: "q",
    settings: { delivery_delay: 86_401, message_retention_period: "long" },
  });
  assert.match(message, /settings\.delivery_delay: expected a whole number of seconds from 0 to 86400, got 86401/);
  assert.match(message, /settings\.message_retention_period: expected .* from 60 to 1209600, got "long"/);
});

test("PATCH keeps what it does not name, PUT sets it back to the default", async () => {
  await using harness = await ApiHarness.open();
  const path = await harness.queue("orders", { delivery_delay: 5, message_retention_period: 600 });
  const patched = await harness.must<Queue>("PATCH", path, {
    queue_name: "orders",
    settings: { delivery_paused: true },
  });
  assert.deepEqual(patched.settings, { delivery_delay: 5, delivery_paused: true, message_retention_period: 600 });
  const replaced = await harness.must<Queue>("PUT", path, { settings: { delivery_delay: 7 } });
  assert.deepEqual(replaced.settings, { delivery_delay: 7, delivery_paused: false, message_retention_period: 345_600 });
  assert.equal(replaced.queue_name, "orders");
});

test("a queue can be renamed, not to a name that is taken", async () => {
  await using harness = await ApiHarness.open();
  const path = await harness.queue("old");
  await harness.queue("taken");
  assert.equal((await harness.must<Queue>("PATCH", path, { queue_name: "new" })).queue_name, "new");
  const conflict = await harness.call("PATCH", path, { queue_name: "taken" });
  assert.equal(refusal(conflict), "409 11009");
  assert.equal(conflict.headers["x-should-retry"], "false");
});

test("queue names follow Cloudflare's rule", async () => {
  await using harness = await ApiHarness.open();
  for (const name of ["a", "A-1", "x".repeat(63)]) {
    assert.equal((await harness.call("POST", "/queues", { queue_name: name })).status, 200, name);
  }
  for (const name of ["", "-a", "a-", "a_b", "a b", "ä", "x".repeat(64), 7, null, undefined, ["a"]]) {
    assert.equal(refusal(await harness.call("POST", "/queues", { queue_name: name })), "400 11003", String(name));
  }
  assert.equal(refusal(await harness.call("POST", "/queues", { queue_name: "a" })), "409 11009");
});

test("a jurisdiction is set at creation only", async () => {
  await using harness = await ApiHarness.open();
  const { queue_id, jurisdiction } = await harness.must<Queue>("POST", "/queues", {
    queue_name: "q",
    jurisdiction: "eu",
  });
  assert.equal(jurisdiction, "eu");
  assert.equal((await harness.call("PATCH", `/queues/${queue_id}`, { jurisdiction: "eu" })).status, 200);
  assert.equal(refusal(await harness.call("PATCH", `/queues/${queue_id}`, { jurisdiction: "us" })), "400 100128");
  assert.equal(refusal(await harness.call("POST", "/queues", { queue_name: "r", jurisdiction: "mars" })), "400 100128");
});

test("lists are whole without a page, cut with one, and empty beyond the last", async () => {
  await using harness = await ApiHarness.open();
  for (let number = 1; number <= 5; number += 1) await harness.queue(`q${number}`);
  const names = async (query: string): Promise<string[]> =>
    (await harness.must<Queue[]>("GET", `/queues${query}`)).map(({ queue_name }) => queue_name);
  assert.deepEqual(await names(""), ["q1", "q2", "q3", "q4", "q5"]);
  assert.deepEqual(await names("?page=2&per_page=2"), ["q3", "q4"]);
  assert.deepEqual(await names("?page=4&per_page=2"), []);
  assert.deepEqual(await names("?name=q2&name=q4&name=q2&name=absent"), ["q2", "q4"]);
  const { envelope } = await harness.call("GET", "/queues?page=2&per_page=2");
  assert.deepEqual(envelope.result_info, { page: 2, per_page: 2, count: 2, total_count: 5, total_pages: 3 });
  for (const query of [
    "?page=0",
    "?page=-1",
    "?page=x",
    "?page=1.5",
    "?per_page=0",
    "?per_page=1001",
    "?page=1&page=2",
  ]) {
    assert.equal(refusal(await harness.call("GET", `/queues${query}`)), "400 10026", query);
  }
});

test("a setting nobody knows is told, not silently dropped", async () => {
  await using harness = await ApiHarness.open();
  const { envelope } = await harness.call("POST", "/queues", { queue_name: "q", settings: { delivery_dealy: 3 } });
  assert.match(envelope.messages[0] ?? "", /settings\.delivery_dealy is not a setting of a queue and was ignored/);
});
