// Messages over REST: push, bulk push, pull, ack and retry, peek, purge.
import assert from "node:assert/strict";
import { test } from "node:test";

import { MillraceError } from "../../src/core/index.ts";
import { ApiHarness, refusal } from "./api-harness.ts";

interface Pulled {
  readonly message_backlog_count: number;
  readonly messages: readonly {
    readonly id: string;
    readonly body: string;
    readonly attempts: number;
    readonly timestamp_ms: number;
    readonly lease_id: string;
    readonly metadata: Record<string, string>;
  }[];
  readonly metadata: { readonly metrics: Record<string, number> };
}

interface Settling extends Pulled {
  readonly millrace_settled?: {
    readonly ackCount: number;
    readonly retryCount: number;
    readonly warnings: Record<string, string>;
  };
}

interface Peeked {
  readonly messages: readonly (Pulled["messages"][number] & { readonly ref: string; readonly state: string })[];
}

/** A queue that clients pull from; answers its path. */
async function pullQueue(harness: ApiHarness, settings: object = {}, deadLetterQueue?: string): Promise<string> {
  const path = await harness.queue("pulled");
  await harness.must("POST", `${path}/consumers`, { type: "http_pull", settings, dead_letter_queue: deadLetterQueue });
  return path;
}

test("a message is pushed, pulled, and acknowledged", async () => {
  await using harness = await ApiHarness.open();
  const path = await pullQueue(harness);
  const pushed = await harness.must("POST", `${path}/messages`, { body: { greeting: "hello" } });
  const metrics = { backlog_bytes: 20, backlog_count: 1, oldest_message_timestamp_ms: harness.time.now() };
  assert.deepEqual(pushed, { metadata: { metrics } });

  const pulled = await harness.must<Pulled>("POST", `${path}/messages/pull`, {});
  const [message] = pulled.messages;
  assert.ok(message);
  assert.deepEqual(pulled, {
    message_backlog_count: 1,
    messages: [
      {
        id: message.id,
        body: Buffer.from('{"greeting":"hello"}').toString("base64"),
        attempts: 1,
        timestamp_ms: harness.time.now(),
        lease_id: message.lease_id,
        metadata: { "CF-Content-Type": "json" },
      },
    ],
    metadata: { metrics },
  });
  assert.match(message.id, /^[0-9a-f]{32}$/);

  const settled = await harness.must("POST", `${path}/messages/ack`, { acks: [{ lease_id: message.lease_id }] });
  assert.deepEqual(settled, { ackCount: 1, retryCount: 0, warnings: {} });
  assert.deepEqual(await harness.must("GET", `${path}/metrics`), {
    backlog_bytes: 0,
    backlog_count: 0,
    oldest_message_timestamp_ms: 0,
  });
});

test("text comes back as it is, json in base64 and as it was written", async () => {
  await using harness = await ApiHarness.open();
  const path = await pullQueue(harness, { batch_size: 100 });
  const raw =
    '{"messages":[{"body":"žluťoučký 🐴","content_type":"text"},{"body":12345678901234567890},{"body":null},{"body":[1.50,"a\\u0000"]}]}';
  await harness.must("POST", `${path}/messages/batch`, undefined, { raw });
  const { messages } = await harness.must<Pulled>("POST", `${path}/messages/pull`);
  const bodies = messages.map(({ body, metadata }) =>
    metadata["CF-Content-Type"] === "text" ? body : Buffer.from(body, "base64").toString(),
  );
  assert.deepEqual(bodies, ["žluťoučký 🐴", "12345678901234567890", "null", '[1.5,"a\\u0000"]']);
});

test("whatever a text or a source holds, the answer of a pull is JSON and gives it back", async () => {
  await using harness = await ApiHarness.open();
  const path = await pullQueue(harness, { batch_size: 100 });
  const texts = [
    "",
    '"quoted"',
    "back\\slash",
    "\u0000\n\t\u2028\u007f",
    "</script>",
    "ž🐴",
    "\ud83d\udc34",
    '","body":"',
  ];
  const headers = { "millrace-message-source": "dash.1-x_y" };
  const messages = texts.map((body) => ({ body, content_type: "text" }));
  await harness.must("POST", `${path}/messages/batch`, { messages }, { headers });
  const pulled = (await harness.must<Pulled>("POST", `${path}/messages/pull`)).messages;
  assert.deepEqual(
    pulled.map(({ body }) => body),
    texts,
  );
  const metadata = { "CF-Content-Type": "text", "CF-sourceMessageSource": "dash.1-x_y" };
  assert.deepEqual(
    pulled.map((message) => message.metadata),
    texts.map(() => metadata),
  );
});

test("push: every broken rule has its documented code, and stores nothing", async () => {
  await using harness = await ApiHarness.open();
  const path = await harness.queue("q");
  const cases: readonly (readonly [unknown, string])[] = [
    [{}, "400 10207"],
    [[], "400 10207"],
    ["text", "400 10207"],
    [{ content_type: "text", body: 7 }, "400 10207"],
    [{ content_type: "text", body: "\ud800" }, "400 10207"],
    [{ content_type: 7, body: "x" }, "400 10207"],
    [{ body: "x", delay_seconds: "5" }, "400 10207"],
    [{ body: "x", content_type: "bytes" }, "400 10203"],
    [{ body: "x", content_type: "v8" }, "400 10203"],
    [{ body: "x", content_type: "JSON" }, "400 10203"],
    [{ body: "x", delay_seconds: -1 }, "400 10203"],
    [{ body: "x", delay_seconds: 86_401 }, "400 10203"],
    [{ body: "x", delay_seconds: 1.5 }, "400 10203"],
    [{ body: "x".repeat(128_001), content_type: "text" }, "413 10204"],
  ];
  for (const [body, expected] of cases) {
    assert.equal(
      refusal(await harness.call("POST", `${path}/messages`, body)),
      expected,
      JSON.stringify(body).slice(0, 60),
    );
  }
  assert.equal(refusal(await harness.call("POST", `${path}/messages`, undefined, { raw: "{" })), "400 10208");
  assert.equal(
    refusal(await harness.call("POST", `${path}/messages`, undefined, { raw: Buffer.from([0xff]) })),
    "400 10208",
  );
  assert.equal(
    refusal(await harness.call("POST", `${path}/messages`, undefined, { raw: `"${"x".repeat(900_000)}"` })),
    "413 10204",
  );
  assert.equal((await harness.must<Record<string, number>>("GET", `${path}/metrics`))["backlog_count"], 0);
});

test("push: limits are reached exactly", async () => {
  await using harness = await ApiHarness.open();
  const path = await harness.queue("q");
  const push = async (body: unknown) => (await harness.call("POST", `${path}/messages`, body)).status;
  assert.equal(await push({ body: "x".repeat(128_000), content_type: "text" }), 200);
  assert.equal(await push({ body: "\u0000".repeat(128_000), content_type: "text" }), 200);
  assert.equal(await push({ body: "x", delay_seconds: 86_400 }), 200);
  assert.equal(await push({ body: "x", delay_seconds: 0 }), 200);
  assert.equal(await push({ body: "", content_type: "text" }), 200);
});

test("bulk push: all or none, with the limits of a batch", async () => {
  await using harness = await ApiHarness.open();
  const path = await harness.queue("q");
  const bulk = async (body: unknown) => {
    const reply = await harness.call("POST", `${path}/messages/batch`, body);
    return reply.status === 200 ? "ok" : refusal(reply);
  };
  const items = (count: number, body = "x") => Array.from({ length: count }, () => ({ body, content_type: "text" }));
  assert.equal(await bulk({ messages: items(100) }), "ok");
  assert.equal(await bulk({ messages: items(101) }), "413 10206");
  assert.equal(await bulk({ messages: [] }), "413 10206");
  assert.equal(await bulk({ messages: items(2, "x".repeat(128_000)) }), "ok");
  assert.equal(await bulk({ messages: [...items(2, "x".repeat(128_000)), ...items(1)] }), "413 10205");
  assert.equal(await bulk({ messages: items(1), delay_seconds: 86_400 }), "ok");
  assert.equal(await bulk({ messages: items(1), delay_seconds: 0 }), "ok");
  assert.equal(await bulk({ messages: items(1), delay_seconds: 86_401 }), "400 10202");
  assert.equal(await bulk({ messages: items(1), delay_seconds: -1 }), "400 10202");
  assert.equal(await bulk({}), "400 10207");
  assert.equal(await bulk({ messages: "x" }), "400 10207");
  assert.equal(await bulk({ messages: [{ body: "good" }, { body: "bad", delay_seconds: -1 }] }), "400 10203");
  assert.equal((await harness.must<Record<string, number>>("GET", `${path}/metrics`))["backlog_count"], 104);
});

test("an unknown or malformed queue has the data plane's own codes", async () => {
  await using harness = await ApiHarness.open();
  for (const action of ["", "/batch", "/pull", "/ack", "/peek", "/purge"]) {
    const body = { body: 1, messages: [{ body: 1 }], refs: [{ ref: "x" }] };
    assert.equal(
      refusal(await harness.call("POST", `/queues/${"0".repeat(32)}/messages${action}`, body)),
      "404 10104",
      action,
    );
    assert.equal(refusal(await harness.call("POST", `/queues/no-id/messages${action}`, body)), "400 10107", action);
  }
});

test("pull: batch size and visibility timeout at their edges, unknown keys ignored", async () => {
  await using harness = await ApiHarness.open();
  const path = await pullQueue(harness);
  const pull = async (body: unknown) => {
    const reply = await harness.call("POST", `${path}/messages/pull`, body);
    return reply.status === 200 ? "ok" : refusal(reply);
  };
  assert.equal(await pull(undefined), "ok");
  for (const body of [
    {},
    { batch_size: 1 },
    { batch_size: 100 },
    { visibility_timeout_ms: 0 },
    { visibility_timeout_ms: 43_200_000 },
    { visibility_timeout: 5 },
  ]) {
    assert.equal(await pull(body), "ok", JSON.stringify(body));
  }
  for (const body of [
    { batch_size: 0 },
    { batch_size: 101 },
    { batch_size: "5" },
    { batch_size: 2.5 },
    { visibility_timeout_ms: -1 },
    { visibility_timeout_ms: 43_200_001 },
    [],
    "x",
    null,
  ]) {
    assert.equal(await pull(body), "400 10026", JSON.stringify(body));
  }
  assert.equal(refusal(await harness.call("POST", `${path}/messages/pull`, undefined, { raw: "{" })), "400 10208");
});

test("pull needs an http_pull consumer, and a queue that is not paused", async () => {
  await using harness = await ApiHarness.open();
  const path = await harness.queue("q");
  assert.equal(refusal(await harness.call("POST", `${path}/messages/pull`, {})), "400 10026");
  await harness.must("POST", `${path}/consumers`, { type: "http_pull" });
  await harness.must("PATCH", path, { settings: { delivery_paused: true } });
  const paused = await harness.call("POST", `${path}/messages/pull`, {});
  assert.equal(paused.status, 409);
  assert.match(paused.message, /queue_delivery_paused/);
  assert.equal(paused.headers["x-should-retry"], "false");
});

test("distinct messages for each pull, the consumer's batch size as default, retries with a delay", async () => {
  await using harness = await ApiHarness.open();
  const path = await pullQueue(harness, { batch_size: 2, visibility_timeout_ms: 1_000 });
  await harness.must("POST", `${path}/messages/batch`, { messages: [1, 2, 3, 4].map((body) => ({ body })) });
  const pull = async (body = {}) => (await harness.must<Pulled>("POST", `${path}/messages/pull`, body)).messages;
  const [first, second] = [await pull(), await pull()];
  assert.equal(new Set([...first, ...second].map(({ id }) => id)).size, 4);
  assert.deepEqual(await pull(), []);

  const [kept, retried] = first;
  assert.ok(kept && retried);
  const settled = await harness.must("POST", `${path}/messages/ack`, {
    acks: [{ lease_id: kept.lease_id }],
    retries: [{ lease_id: retried.lease_id, delay_seconds: 10 }],
  });
  assert.deepEqual(settled, { ackCount: 1, retryCount: 1, warnings: {} });
  await harness.time.advance(1_000);
  assert.deepEqual(
    (await pull({ batch_size: 100 })).map(({ id, attempts }) => [id, attempts]),
    second.map(({ id }) => [id, 2]),
  );
  await harness.time.advance(9_000);
  assert.ok((await pull({ batch_size: 100 })).some(({ id, attempts }) => id === retried.id && attempts === 2));
});

test("a pull settles what was pulled before, first and in the same step, and says what became of it", async () => {
  await using harness = await ApiHarness.open();
  const path = await pullQueue(harness, { batch_size: 2 });
  await harness.must("POST", `${path}/messages/batch`, { messages: [1, 2, 3].map((body) => ({ body })) });
  const pull = async (body = {}) => await harness.must<Settling>("POST", `${path}/messages/pull`, body);
  const before = await pull();
  assert.equal(before.millrace_settled, undefined);
  const [kept, retried] = before.messages;
  assert.ok(kept && retried);
  const millrace_settle = {
    acks: [{ lease_id: kept.lease_id }, { lease_id: "nonsense" }],
    retries: [{ lease_id: retried.lease_id, delay_seconds: 0 }],
  };
  const pulled = await pull({ batch_size: 10, millrace_settle });
  assert.deepEqual(pulled.millrace_settled, {
    ackCount: 1,
    retryCount: 1,
    warnings: { nonsense: "not a lease id of this queue" },
  });
  assert.deepEqual(
    pulled.messages.map(({ id, attempts, body }) => [
      id === retried.id,
      attempts,
      Buffer.from(body, "base64").toString(),
    ]),
    [
      [true, 2, "2"],
      [false, 1, "3"],
    ],
  );
  assert.equal(pulled.message_backlog_count, 2);
  assert.deepEqual((await pull({ millrace_settle: {} })).millrace_settled, {
    ackCount: 0,
    retryCount: 0,
    warnings: {},
  });
});

test("a pull that is refused has settled all the same", async () => {
  await using harness = await ApiHarness.open();
  const path = await pullQueue(harness);
  await harness.must("POST", `${path}/messages`, { body: 1 });
  const [message] = (await harness.must<Pulled>("POST", `${path}/messages/pull`)).messages;
  await harness.must("PATCH", path, { settings: { delivery_paused: true } });
  const body = { millrace_settle: { acks: [{ lease_id: message?.lease_id }] } };
  assert.equal((await harness.call("POST", `${path}/messages/pull`, body)).status, 409);
  const again = await harness.must<{ ackCount: number }>("POST", `${path}/messages/ack`, body.millrace_settle);
  assert.equal(again.ackCount, 0);
});

test("a pull that waits and whose settlements are refused leases nothing", async () => {
  await using harness = await ApiHarness.open();
  const path = await pullQueue(harness, { batch_size: 1 });
  const pull = async () => (await harness.must<Pulled>("POST", `${path}/messages/pull`)).messages;
  await harness.must("POST", `${path}/messages/batch`, { messages: [{ body: 1 }, { body: 2 }] });
  const [held] = await pull();
  const settle = harness.engine.settle.bind(harness.engine);
  harness.engine.settle = () => Promise.reject(new MillraceError("DATA_DAMAGED", "The leases are not as stored"));
  const body = { millrace_settle: { acks: [{ lease_id: held?.lease_id }] } };
  const headers = { "millrace-wait-seconds": "60" };
  assert.equal((await harness.call("POST", `${path}/messages/pull`, body, { headers })).status, 500);
  harness.engine.settle = settle;
  assert.deepEqual(
    (await pull()).map(({ attempts }) => attempts),
    [1],
  );
});

test("a pull of several batches brings as many messages, and only whole numbers of batches are asked for", async () => {
  await using harness = await ApiHarness.open();
  const path = await pullQueue(harness, { batch_size: 2 });
  await harness.must("POST", `${path}/messages/batch`, { messages: [1, 2, 3, 4, 5, 6, 7].map((body) => ({ body })) });
  const count = async (body: object) =>
    (await harness.must<Pulled>("POST", `${path}/messages/pull`, body)).messages.length;
  assert.equal(await count({ millrace_batches: 2 }), 4);
  assert.equal(await count({ millrace_batches: 5, batch_size: 100 }), 3);
  for (const body of [
    { millrace_batches: 0 },
    { millrace_batches: 6 },
    { millrace_batches: 1.5 },
    { millrace_batches: "2" },
    { millrace_settle: null },
    { millrace_settle: [] },
    { millrace_settle: { acks: ["x"] } },
    { millrace_settle: { acks: Array.from({ length: 1_001 }, () => ({ lease_id: "x" })) } },
    { millrace_settle: { retries: [{ lease_id: "x", delay_seconds: -1 }] } },
  ]) {
    assert.equal(
      refusal(await harness.call("POST", `${path}/messages/pull`, body)),
      "400 10026",
      JSON.stringify(body).slice(0, 80),
    );
  }
});

test("late and unknown leases are warnings", async () => {
  await using harness = await ApiHarness.open();
  const path = await pullQueue(harness);
  await harness.must("POST", `${path}/messages`, { body: 1 });
  const pull = { visibility_timeout_ms: 1_000 };
  const [message] = (await harness.must<Pulled>("POST", `${path}/messages/pull`, pull)).messages;
  assert.ok(message);
  await harness.time.advance(5_000);
  const ack = async () =>
    await harness.must<{ ackCount: number; warnings: Record<string, string> }>("POST", `${path}/messages/ack`, {
      acks: [{ lease_id: message.lease_id }, { lease_id: "nonsense" }],
    });
  const late = await ack();
  assert.equal(late.ackCount, 1);
  assert.deepEqual(Object.keys(late.warnings).toSorted(), [message.lease_id, "nonsense"].toSorted());
  assert.equal((await ack()).ackCount, 0);
});

test("ack: bodies of the wrong shape are refused", async () => {
  await using harness = await ApiHarness.open();
  const path = await pullQueue(harness);
  for (const body of [
    undefined,
    [],
    "x",
    { acks: "x" },
    { acks: [{}] },
    { acks: ["x"] },
    { acks: [{ lease_id: 7 }] },
    { retries: [{ lease_id: "x", delay_seconds: 86_401 }] },
    { retries: [{ lease_id: "x", delay_seconds: -1 }] },
  ]) {
    assert.equal(refusal(await harness.call("POST", `${path}/messages/ack`, body)), "400 10026", JSON.stringify(body));
  }
  assert.deepEqual(await harness.must("POST", `${path}/messages/ack`, {}), {
    ackCount: 0,
    retryCount: 0,
    warnings: {},
  });
});

test("exhausted messages are dead-lettered with their id, body and time", async () => {
  await using harness = await ApiHarness.open();
  const path = await pullQueue(harness, { max_retries: 1 }, "dead");
  await harness.must("POST", `${path}/messages`, { body: "x", content_type: "text" });
  const sentAt = harness.time.now();
  let id = "";
  for (const attempts of [1, 2]) {
    const [message] = (await harness.must<Pulled>("POST", `${path}/messages/pull`, {})).messages;
    assert.equal(message?.attempts, attempts);
    id = message.id;
    await harness.must("POST", `${path}/messages/ack`, { retries: [{ lease_id: message.lease_id }] });
  }
  const [{ queue_id }] = await harness.must<[{ queue_id: string }]>("GET", "/queues?name=dead");
  const { messages } = await harness.must<Peeked>("POST", `/queues/${queue_id}/messages/peek`, {});
  assert.deepEqual(
    messages.map((message) => [message.id, message.body, message.timestamp_ms]),
    [[id, "x", sentAt]],
  );
});

test("peek leaves messages as they are; purge by ref deletes single ones", async () => {
  await using harness = await ApiHarness.open();
  const path = await pullQueue(harness);
  await harness.must("POST", `${path}/messages`, { body: "now", content_type: "text" });
  await harness.must("POST", `${path}/messages`, { body: "later", content_type: "text", delay_seconds: 60 });
  const peek = async () => (await harness.must<Peeked>("POST", `${path}/messages/peek`, { batch_size: 100 })).messages;
  const peeked = await peek();
  assert.deepEqual(
    peeked.map(({ body, attempts, state }) => [body, attempts, state]),
    [
      ["now", 0, "ready"],
      ["later", 0, "delayed"],
    ],
  );
  assert.deepEqual(await peek(), peeked);
  const refs = [{ ref: peeked[1]?.ref }, { ref: "unknown" }];
  const purged = await harness.must<{ errors: unknown[]; warnings: object }>("POST", `${path}/messages/purge`, {
    refs,
  });
  assert.deepEqual(purged.errors, []);
  assert.deepEqual(Object.keys(purged.warnings), ["unknown"]);
  assert.deepEqual(
    (await peek()).map(({ body }) => body),
    ["now"],
  );
  for (const body of [undefined, {}, { refs: [] }, { refs: ["x"] }, { refs: [{}] }]) {
    assert.equal(
      refusal(await harness.call("POST", `${path}/messages/purge`, body)),
      "400 10026",
      JSON.stringify(body),
    );
  }
});

test("a purge empties the queue, and must be confirmed", async () => {
  await using harness = await ApiHarness.open();
  const path = await pullQueue(harness);
  await harness.must("POST", `${path}/messages/batch`, { messages: [{ body: 1 }, { body: 2, delay_seconds: 60 }] });
  for (const body of [{}, { delete_messages_permanently: false }, undefined]) {
    assert.equal(refusal(await harness.call("POST", `${path}/purge`, body)), "400 10026", JSON.stringify(body));
  }
  const started = await harness.must<{ queue_name: string; complete: boolean }>("POST", `${path}/purge`, {
    delete_messages_permanently: true,
  });
  assert.equal(started.queue_name, "pulled");
  assert.deepEqual(await harness.must("GET", `${path}/purge`), {
    completed: "true",
    complete: true,
    started_at: new Date(harness.time.now()).toISOString(),
  });
  assert.equal((await harness.must<Record<string, number>>("GET", `${path}/metrics`))["backlog_count"], 0);
});

test("long polling answers the moment a message arrives, and empty when its time is up", async () => {
  await using harness = await ApiHarness.open();
  const path = await pullQueue(harness);
  const waiting = (seconds: string) =>
    harness.call("POST", `${path}/messages/pull`, {}, { headers: { "millrace-wait-seconds": seconds } });
  const first = waiting("60");
  await harness.time.settle();
  await harness.must("POST", `${path}/messages`, { body: 1 });
  assert.equal(((await first).result as Pulled).messages.length, 1);

  const second = waiting("20");
  await harness.time.advance(20_000);
  assert.deepEqual(((await second).result as Pulled).messages, []);
  for (const wrong of ["61", "-1", "x", "1.5", ""]) {
    assert.equal(refusal(await waiting(wrong)), "400 10026", wrong);
  }
});

test("leases can be extended", async () => {
  await using harness = await ApiHarness.open();
  const path = await pullQueue(harness, { visibility_timeout_ms: 1_000 });
  await harness.must("POST", `${path}/messages`, { body: 1 });
  const pull = async () => (await harness.must<Pulled>("POST", `${path}/messages/pull`, {})).messages;
  const [message] = await pull();
  assert.ok(message);
  const extended = await harness.must("POST", `/millrace${path}/messages/extend`, {
    leases: [{ lease_id: message.lease_id }, { lease_id: "unknown" }],
    visibility_timeout_ms: 60_000,
  });
  assert.deepEqual(extended, { extendedCount: 1, warnings: { unknown: "the lease is no longer held" } });
  await harness.time.advance(30_000);
  assert.deepEqual(await pull(), []);
});

const ownId = (number: number): string => number.toString(16).padStart(32, "0");

test("a message keeps the id its sender gave it, and is not stored again under it", async () => {
  await using harness = await ApiHarness.open();
  const path = await harness.queue("events");
  const message = { body: 1, millrace_message_id: ownId(1) };
  await harness.must("POST", `${path}/messages`, message);
  const again = { headers: { "millrace-resend": "1500" } };
  const answer = await harness.must("POST", `${path}/messages`, message, again);
  assert.equal((answer as { metadata: { metrics: { backlog_count: number } } }).metadata.metrics.backlog_count, 1);
  await harness.must("POST", `${path}/messages/batch`, { messages: [message, { body: 2 }] }, again);
  const { messages } = await harness.must<Peeked>("POST", `${path}/messages/peek`, {});
  assert.equal(messages.length, 2);
  assert.equal(messages[0]?.id, ownId(1));
});

test("an id of another form and a wrong Millrace-Resend are refused, and nothing is stored", async () => {
  await using harness = await ApiHarness.open();
  const path = await harness.queue("events");
  for (const wrong of [
    "",
    "1",
    ownId(1).toUpperCase().replaceAll("0", "A"),
    `${ownId(1)}0`,
    `${ownId(1)}\n`,
    7,
    null,
    {},
  ]) {
    const reply = await harness.call("POST", `${path}/messages`, { body: 1, millrace_message_id: wrong });
    assert.equal(refusal(reply), "400 10207", JSON.stringify(wrong));
    assert.match(reply.message, /millrace_message_id: expected 32 lower-case hex digits, got/);
  }
  const same = { body: 1, millrace_message_id: ownId(1) };
  assert.equal(refusal(await harness.call("POST", `${path}/messages/batch`, { messages: [same, same] })), "400 10207");
  for (const wrong of ["true", "-1", "1.5", "86400001", "1e3", ""]) {
    const reply = await harness.call("POST", `${path}/messages`, same, { headers: { "millrace-resend": wrong } });
    assert.equal(refusal(reply), "400 10207", wrong);
    assert.match(reply.message, /Millrace-Resend: expected whole milliseconds since the first try, 0 to 86400000/);
  }
  assert.deepEqual((await harness.must<Peeked>("POST", `${path}/messages/peek`, {})).messages, []);
});

test("every answer tells that ids of senders are known here", async () => {
  await using harness = await ApiHarness.open();
  for (const path of ["/queues", "/queues/nothing"]) {
    assert.equal((await harness.call("GET", path)).headers["millrace-message-ids"], "known");
  }
});
