// Draining with few requests: settlements that travel with the next pull, and pulls of several batches; and what a server does not know.

import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { consume, createClient } from "../src/index.ts";
import type { ConsumeOptions, Consumer, ConsumerEvent, QueueHandler } from "../src/index.ts";
import { deferred, soon, Watched } from "./support/deadline.ts";
import { ok, pulled, refusal, RestServer } from "./support/rest-server.ts";
import type { PulledMessage, Script, SeenRequest } from "./support/rest-server.ts";
import { TestTime } from "./support/test-time.ts";

interface Running {
  readonly server: RestServer;
  readonly consumer: Consumer;
  readonly events: Watched<ConsumerEvent>;
}

interface Plan extends ConsumeOptions {
  readonly handler?: QueueHandler;
  readonly offered: number;
  readonly script?: (server: RestServer) => Script;
  readonly takesMore?: boolean;
}

/** Consumes what a server offered before it began, for as long as the test body takes. */
async function draining(plan: Plan, body: (running: Running) => Promise<void>): Promise<void> {
  const { handler = () => undefined, offered, script, takesMore = true, ...options } = plan;
  await using server = await RestServer.start();
  server.knowsMessageIds = true;
  server.takesMore = takesMore;
  server.offer(...numbered(offered));
  if (script !== undefined) server.script = script(server);
  const events = new Watched<ConsumerEvent>();
  const time = new TestTime({ instantBelowMs: 30_000 });
  const consumer = consume(createClient({ ...server.options, time }).queue("orders"), handler, {
    onEvent: (event) => {
      events.push(event);
    },
    ...options,
  });
  await body({ server, consumer, events });
  await soon(consumer.stop(), "the end of the consumer");
}

const numbered = (count: number): readonly PulledMessage[] =>
  Array.from({ length: count }, (_, index) => pulled(String(index + 1)));

interface PullBody {
  readonly millrace_batches?: number;
  readonly millrace_settle?: {
    readonly acks?: readonly { readonly lease_id: string }[];
    readonly retries?: readonly { readonly lease_id: string }[];
  };
}

const bodyOf = ({ body }: SeenRequest): PullBody => body ?? {};
const pulls = (server: RestServer): readonly SeenRequest[] => server.to("/pull");
const waits = ({ headers }: SeenRequest): boolean => headers["millrace-wait-seconds"] !== "0";
const settlesIn = (request: SeenRequest): number => {
  const { acks = [], retries = [] } = bodyOf(request).millrace_settle ?? {};
  return acks.length + retries.length;
};

test("while batches come full, what became of a batch travels with the next pull, which does not wait", async () => {
  const handler: QueueHandler = ({ messages }) => {
    for (const message of messages) if (message.id === "4") message.retry({ delaySeconds: 7 });
  };
  await draining({ handler, offered: 7, batchSize: 2 }, async ({ server, events }) => {
    await server.settled.atLeast(7, "settled messages");
    await server.requests.until(() => pulls(server).length === 5, "the pull after the last message");
    assert.deepEqual(
      pulls(server).map((pull) => [settlesIn(pull), waits(pull)]),
      [
        [0, true],
        [2, false],
        [2, false],
        [2, false],
        [0, true],
      ],
    );
    assert.equal(server.to("/ack").length, 1); // of the batch that was not full
    assert.deepEqual(bodyOf(pulls(server)[2] ?? assert.fail()).millrace_settle, {
      acks: [{ lease_id: "lease-3" }],
      retries: [{ lease_id: "lease-4", delay_seconds: 7 }],
    });
    assert.deepEqual(events.items, []);
  });
});

test("one pull brings the batches of up to half the places, and each is a batch of its own", async () => {
  const sizes: number[] = [];
  const handler: QueueHandler = ({ messages }) => void sizes.push(messages.length);
  await draining({ handler, offered: 27, batchSize: 2, concurrency: 8 }, async ({ server }) => {
    await server.settled.atLeast(27, "settled messages");
    const asked = pulls(server).map((pull) => bodyOf(pull).millrace_batches);
    assert.equal(asked[0], undefined);
    assert.ok(asked.includes(4) && asked.every((batches = 1) => batches <= 4), asked.join());
    assert.deepEqual(sizes, [...Array.from({ length: 13 }, () => 2), 1]);
    assert.ok(pulls(server).length + server.to("/ack").length < 14, "fewer requests than batches");
  });
});

test("no more batches are asked for than there are free places", async () => {
  const release = deferred();
  let running = 0;
  let most = 0;
  const handler: QueueHandler = async () => {
    running += 1;
    most = Math.max(most, running);
    if (running === 3) release.resolve();
    await release.promise;
    running -= 1;
  };
  await draining({ handler, offered: 40, batchSize: 1, concurrency: 3 }, async ({ server }) => {
    await server.settled.atLeast(40, "settled messages");
    assert.equal(most, 3);
  });
});

test("several batches are asked for only as far as their bodies are short", async () => {
  await draining(
    {
      offered: 12,
      batchSize: 2,
      concurrency: 10,
      script:
        (server) =>
        ({ path }) => {
          if (!path.endsWith("/pull")) return undefined;
          const metrics = { backlog_count: 10, backlog_bytes: 1_280_000, oldest_message_timestamp_ms: 0 };
          const messages = server.backlog.splice(0, 2);
          return ok({ messages, metadata: { metrics }, millrace_settled: { warnings: {} } });
        },
    },
    async ({ server }) => {
      await server.requests.until(() => server.backlog.length === 0, "the last message");
      assert.deepEqual(
        pulls(server)
          .map((pull) => bodyOf(pull).millrace_batches ?? 1)
          .filter((batches) => batches > 3),
        [],
      );
    },
  );
});

test("a server that does not know all this is asked for single batches, and told in requests of their own", async () => {
  await draining({ offered: 6, batchSize: 2, concurrency: 4, takesMore: false }, async ({ server, events }) => {
    await server.settled.atLeast(6, "settled messages");
    assert.ok(pulls(server).every((pull) => settlesIn(pull) === 0 && bodyOf(pull).millrace_batches === undefined));
    assert.deepEqual(events.items, []);
  });
});

test("a server that stops to know it loses no settlement", async () => {
  await draining(
    {
      offered: 4,
      batchSize: 2,
      script: (server) => (request) => {
        if (settlesIn(request) > 0 && request.path.endsWith("/pull")) server.takesMore = false; // another version took over
        return undefined;
      },
    },
    async ({ server }) => {
      const settled = await server.settled.atLeast(4, "settled messages");
      assert.deepEqual(settled.map(({ lease }) => lease).toSorted(), ["lease-1", "lease-2", "lease-3", "lease-4"]);
      assert.ok(server.to("/ack").length > 0);
    },
  );
});

for (const [how, reply, kind] of [
  ["whose answer is lost", "hang up", "pull-failed"],
  ["that is refused", refusal(409, 10252, "queue_delivery_paused", { "x-should-retry": "false" }), "pull-failed"],
] as const) {
  test(`what travelled with a pull ${how} is told in a request of its own, and what is odd about that is not`, async () => {
    let isFirst = true;
    await draining(
      {
        offered: 4,
        batchSize: 2,
        script: () => (request) => {
          if (request.path.endsWith("/ack")) {
            const { acks } = request.body as { readonly acks: readonly { readonly lease_id: string }[] };
            const odd = acks.map(({ lease_id }) => [lease_id, "settled before"]);
            return ok({ ackCount: 0, retryCount: 0, warnings: Object.fromEntries(odd) });
          }
          if (settlesIn(request) === 0 || !isFirst) return undefined;
          isFirst = false;
          return reply;
        },
      },
      async ({ server, events }) => {
        await server.requests.until(() => server.to("/ack").length > 0, "an acknowledgement");
        assert.deepEqual(server.to("/ack")[0]?.body, {
          acks: [{ lease_id: "lease-1" }, { lease_id: "lease-2" }],
          retries: [],
        });
        await server.requests.until(() => server.backlog.length === 0, "the next batch");
        assert.deepEqual(
          events.items.map((event) => event.kind),
          [kind],
        );
      },
    );
  });
}

test("what the server remarks on a lease that was settled with a pull is told", async () => {
  await draining(
    {
      offered: 2,
      batchSize: 2,
      script: () => (request) => {
        if (settlesIn(request) === 0) return undefined;
        const warnings = { "lease-2": "the lease had ended", stranger: "?" };
        return ok({ messages: [], millrace_settled: { ackCount: 1, retryCount: 0, warnings } });
      },
    },
    async ({ events }) => {
      await events.atLeast(1, "events");
      assert.deepEqual(events.items, [
        { kind: "settle-warning", queue: "orders", messageId: "2", warning: "the lease had ended" },
      ]);
    },
  );
});

test("a consumer that is stopped while its settlements are under way with a pull settles them", async () => {
  const arrived = deferred();
  await draining(
    {
      offered: 2,
      batchSize: 2,
      script: () => async (request) => {
        if (!request.path.endsWith("/pull") || settlesIn(request) === 0) return undefined;
        arrived.resolve();
        const { gone } = request;
        if (!gone.aborted) await once(gone, "abort");
        return "hang up";
      },
    },
    async ({ server, consumer, events }) => {
      await soon(arrived.promise, "a pull with settlements");
      await soon(consumer.stop(), "the stop");
      assert.deepEqual(
        server.settled.items.map(({ lease }) => lease),
        ["lease-1", "lease-2"],
      );
      assert.deepEqual(events.items, []);
    },
  );
});
