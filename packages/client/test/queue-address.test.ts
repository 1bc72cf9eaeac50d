// A queue is found by its name, and found again when it was made anew.

import assert from "node:assert/strict";
import { test } from "node:test";
import { createClient } from "../src/index.ts";
import { queueId, refusal, RestServer } from "./support/rest-server.ts";
import { TestTime } from "./support/test-time.ts";

const lookups = (server: RestServer): number => server.to("/queues").length;

test("a name is looked up once, even when several calls need it at the same time", async () => {
  await using server = await RestServer.start();
  const queue = createClient(server.options).queue("orders");
  await Promise.all([queue.send(1), queue.metrics(), queue.sendBatch([{ body: 2 }])]);
  await queue.send(3);
  assert.equal(lookups(server), 1);
  assert.equal(server.requests.items[0]?.path, "/queues?name=orders&page=1");
  assert.equal(server.stored.length, 3);
});

test("an id is not looked up", async () => {
  await using server = await RestServer.start();
  await createClient(server.options).queue(queueId.toUpperCase()).send(1);
  assert.equal(lookups(server), 0);
});

test("the same name is the same queue", async () => {
  await using server = await RestServer.start();
  const client = createClient(server.options);
  assert.equal(client.queue("orders"), client.queue("orders"));
});

test("a queue that does not exist is told, and looked for again the next time", async () => {
  await using server = await RestServer.start();
  const queue = createClient(server.options).queue("invoices");
  await assert.rejects(queue.send(1), {
    code: "QUEUE_NOT_FOUND",
    status: 404,
    retryable: false,
    message: /Queue invoices/,
  });
  server.queues.set("invoices", "d".repeat(32));
  await queue.send(2);
  assert.equal(lookups(server), 2);
});

test("a queue that was deleted and made again under its name is found again", async () => {
  await using server = await RestServer.start();
  const queue = createClient(server.options).queue("orders");
  await queue.send(1);
  server.queues.set("orders", "d".repeat(32));
  await Promise.all([queue.send(2), queue.metrics()]);
  assert.equal(server.stored.length, 2);
  server.queues.delete("orders");
  await assert.rejects(queue.send(3), { code: "QUEUE_NOT_FOUND" });
});

test("a lookup that fails for now is tried again", async () => {
  await using server = await RestServer.start();
  let failures = 2;
  server.script = () => (failures-- > 0 ? refusal(503, 15000, "Not yet") : undefined);
  await createClient({ ...server.options, time: new TestTime({ instantBelowMs: 30_000 }) })
    .queue("orders")
    .send(1);
  assert.equal(lookups(server), 3);
});

for (const name of ["", "a b", "-orders", "orders-", "x".repeat(64), "../orders", "orders?name=other"]) {
  test(`${JSON.stringify(name)} is no name of a queue`, async () => {
    await using server = await RestServer.start();
    assert.throws(() => createClient(server.options).queue(name), { code: "QUEUE_NAME_INVALID" });
  });
}
