// Leases are extended while a handler runs, where the server can.

import assert from "node:assert/strict";
import { test } from "node:test";
import { consume, createClient } from "../src/index.ts";
import type { ConsumerEvent } from "../src/index.ts";
import { deferred, Watched } from "./support/deadline.ts";
import { ok, pulled, queueId, refusal, RestServer } from "./support/rest-server.ts";
import type { Reply } from "./support/rest-server.ts";
import { TestTime } from "./support/test-time.ts";

/** A consumer whose handler runs until it is released, with a server that answers extensions so. */
async function extending(
  answer: () => Reply | undefined,
  body: (running: {
    readonly server: RestServer;
    readonly time: TestTime;
    readonly events: Watched<ConsumerEvent>;
    readonly release: () => void;
  }) => Promise<void>,
): Promise<void> {
  await using server = await RestServer.start();
  server.script = ({ path }) => (path.startsWith("/millrace/") ? answer() : undefined);
  const time = new TestTime();
  const events = new Watched<ConsumerEvent>();
  const handler = deferred();
  const consumer = consume(
    createClient({ ...server.options, time }).queue("orders"),
    async () => {
      await handler.promise;
    },
    {
      extendLeases: true,
      visibilityTimeoutMs: 6_000,
      onEvent: (event) => {
        events.push(event);
      },
    },
  );
  server.offer(pulled("1"), pulled("2"));
  await time.asked.until((asked) => asked.includes(2_000), "the first timer");
  try {
    await body({ server, time, events, release: handler.resolve });
  } finally {
    handler.resolve();
    await consumer.stop();
  }
}

const timers = (time: TestTime): number => time.asked.items.filter((ms) => ms === 2_000).length;

test("three times in each visibility timeout, until the handler ends", async () => {
  await extending(
    () => ok({ extendedCount: 2, warnings: {} }),
    async ({ server, time, events, release }) => {
      for (let round = 1; round <= 3; round += 1) {
        time.fire(2_000);
        await time.asked.until(() => timers(time) === round + 1, "the next timer");
      }
      const requests = server.to("/messages/extend");
      assert.equal(requests.length, 3);
      assert.equal(requests[0]?.path, `/millrace/queues/${queueId}/messages/extend`);
      assert.deepEqual(requests[0].body, {
        leases: [{ lease_id: "lease-1" }, { lease_id: "lease-2" }],
        visibility_timeout_ms: 6_000,
      });
      release();
      await server.settled.atLeast(2, "settled messages");
      assert.ok(!time.pending.includes(2_000));
      assert.deepEqual(events.items, []);
    },
  );
});

test("a lease that could not be extended is told", async () => {
  await extending(
    () => ok({ extendedCount: 1, warnings: { "lease-2": "the lease is no longer held" } }),
    async ({ time, events }) => {
      time.fire(2_000);
      await events.atLeast(1, "events");
      assert.deepEqual(events.items, [
        { kind: "lease-lost", queue: "orders", messageId: "2", warning: "the lease is no longer held" },
      ]);
    },
  );
});

test("a server without the endpoint is asked once, and told of", async () => {
  await extending(
    () => undefined, // answers 404, no route
    async ({ server, time, events, release }) => {
      time.fire(2_000);
      await events.atLeast(1, "events");
      const [event] = events.items;
      assert.ok(event?.kind === "lease-extension-failed" && event.givesUp);
      assert.equal(event.error.code, "ROUTE_NOT_FOUND");
      release();
      await server.settled.atLeast(2, "settled messages");
      assert.equal(timers(time), 1);
      assert.equal(server.to("/messages/extend").length, 1);
    },
  );
});

test("an extension that fails for now is followed by the next one", async () => {
  await extending(
    () => refusal(503, 15000, "Not now"),
    async ({ time, events }) => {
      time.fire(2_000);
      await events.atLeast(1, "events");
      const [event] = events.items;
      assert.ok(event?.kind === "lease-extension-failed" && !event.givesUp);
      await time.asked.until(() => timers(time) === 2, "the next timer");
    },
  );
});
