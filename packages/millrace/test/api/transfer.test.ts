// A queue's messages as lines of JSON: out, changing nothing, and in again, once each.
import assert from "node:assert/strict";
import { test } from "node:test";

import fc from "fast-check";
import { epochMs, makeMessageId, milliseconds } from "../../src/core/index.ts";
import type { ContentType, Holder, MessageId, NewMessage, QueueId } from "../../src/core/index.ts";
import { accountId, adminToken, ApiHarness, refusal } from "./api-harness.ts";
import type { Reply } from "./api-harness.ts";

interface Line {
  readonly id: string;
  readonly content_type: string;
  readonly body?: unknown;
  readonly body_base64?: string;
  readonly timestamp_ms: number;
  readonly attempts: number;
  readonly state: string;
  readonly until_ms?: number;
  readonly source?: string;
}

interface Page {
  readonly text: string;
  readonly lines: readonly Line[];
  readonly next: string | undefined;
}

const queueOf = (path: string): QueueId => path.replace("/queues/", "") as QueueId;

async function page(harness: ApiHarness, path: string, after?: string): Promise<Page> {
  const response = await harness.api.server.inject({
    method: "GET",
    url: `/client/v4/accounts/${accountId}/millrace${path}/messages/export${after === undefined ? "" : `?after=${after}`}`,
    headers: { authorization: `Bearer ${adminToken}` },
  });
  assert.equal(response.statusCode, 200, response.payload);
  assert.equal(response.headers["content-type"], "application/x-ndjson");
  const text = response.payload;
  assert.ok(text === "" || text.endsWith("\n"));
  const lines = text.split("\n").slice(0, -1);
  return {
    text,
    lines: lines.map((line) => JSON.parse(line) as Line),
    next: response.headers["millrace-next"] as string | undefined,
  };
}

const bring = async (
  harness: ApiHarness,
  path: string,
  text: string | Buffer,
  options: { readonly token?: string; readonly firstLine?: number } = {},
): Promise<Reply> => {
  const query = options.firstLine === undefined ? "" : `?first_line=${options.firstLine}`;
  return await harness.call("POST", `/millrace${path}/messages/import${query}`, undefined, {
    raw: text,
    ...(options.token !== undefined && { token: options.token }),
  });
};

const encoder = new TextEncoder();
let made = 0;
function message(harness: ApiHarness, body: string | Uint8Array, fields: Partial<NewMessage> = {}): NewMessage {
  made += 1;
  const random = new Uint8Array(10);
  new DataView(random.buffer).setUint32(6, made);
  const sentAt = harness.time.now();
  return {
    id: makeMessageId(sentAt, random),
    sentAt,
    contentType: "json",
    body: typeof body === "string" ? encoder.encode(body) : body,
    visibleAt: undefined,
    ...fields,
  };
}

const ownId = (number: number): string => number.toString(16).padStart(32, "0");
const plain = (number: number, more: object = {}): string =>
  JSON.stringify({ id: ownId(number), content_type: "json", body: number, ...more });

test("an export tells every message as it is, oldest first, and changes nothing", async () => {
  await using harness = await ApiHarness.open();
  const path = await harness.queue("events");
  const queue = queueOf(path);
  const [first, second, third, fourth] = [
    message(harness, '{"type":"welcome-email","n":12345678901234567890}'),
    message(harness, "Grüße\n😀\u2028", { contentType: "text", source: "dash" }),
    message(harness, "[1]", { visibleAt: epochMs(harness.time.now() + 60_000) }),
    message(harness, Uint8Array.of(0, 255, 10), { contentType: "bytes" }),
  ] as const;
  await harness.engine.send(queue, [first]);
  await harness.engine.lease(queue, {
    max: 1,
    window: undefined,
    visibility: milliseconds(30_000),
    holder: "pull" as Holder,
  });
  await harness.engine.send(queue, [second, third, fourth]);
  const before = await harness.engine.peek(queue, { max: 100 });

  const { text, lines, next } = await page(harness, path);
  assert.equal(next, undefined);
  const timestamp = { timestamp_ms: harness.time.now() };
  const until = (ms: number): { until_ms: number } => ({ until_ms: harness.time.now() + ms });
  assert.match(text.split("\n")[0] ?? "", /"body":\{"type":"welcome-email","n":12345678901234567890\}\}$/);
  assert.deepEqual(lines.slice(1), [
    {
      id: second.id,
      content_type: "text",
      ...timestamp,
      attempts: 0,
      state: "ready",
      source: "dash",
      body: "Grüße\n😀\u2028",
    },
    { id: third.id, content_type: "json", ...timestamp, attempts: 0, state: "delayed", ...until(60_000), body: [1] },
    { id: fourth.id, content_type: "bytes", ...timestamp, attempts: 0, state: "ready", body_base64: "AP8K" },
  ]);
  const [leased] = lines;
  assert.deepEqual([leased?.state, leased?.attempts, leased?.until_ms], ["leased", 1, harness.time.now() + 30_000]);
  assert.deepEqual(await harness.engine.peek(queue, { max: 100 }), before);
});

test("an empty queue is exported as nothing, and nothing is imported as nothing", async () => {
  await using harness = await ApiHarness.open();
  const path = await harness.queue("events");
  assert.deepEqual(await page(harness, path), { text: "", lines: [], next: undefined });
  for (const nothing of ["", "\n", " \r\n\n"]) {
    assert.deepEqual((await bring(harness, path, nothing)).result, { imported: 0, already_there: 0, backlog_count: 0 });
  }
});

test("pages follow one another, each message stands in one of them", async () => {
  await using harness = await ApiHarness.open();
  const path = await harness.queue("events");
  const large = "x".repeat(90_000);
  const sent = Array.from({ length: 2_350 }, (_, index) =>
    message(harness, index === 0 ? `"${large}"` : String(index)),
  );
  const big = Array.from({ length: 120 }, () => message(harness, `"${large}"`));
  await harness.engine.send(queueOf(path), [...sent, ...big]);
  const ids: string[] = [];
  const sizes: number[] = [];
  for (let after: string | undefined; ;) {
    const { lines, next } = await page(harness, path, after);
    ids.push(...lines.map(({ id }) => id));
    sizes.push(lines.length);
    if (next === undefined) break;
    after = next;
  }
  assert.deepEqual(
    ids,
    [...sent, ...big].map(({ id }) => id),
  );
  assert.ok(
    sizes.every((size) => size <= 1_000),
    sizes.join(),
  );
});

test("an export that goes through a queue in use has all that stay, each once", async () => {
  await using harness = await ApiHarness.open();
  const path = await harness.queue("events");
  const queue = queueOf(path);
  const stay = Array.from({ length: 1_500 }, () => message(harness, "1"));
  const leave = Array.from({ length: 700 }, () => message(harness, "2"));
  await harness.engine.send(queue, [...stay.slice(0, 800), ...leave, ...stay.slice(800)]);
  const first = await page(harness, path);
  for (let left = leave.map(({ id }) => id as string); left.length > 0;) {
    const gone = new Set(left);
    const refs: string[] = [];
    for (let after: string | undefined; ;) {
      const peeked = await harness.engine.peek(queue, { max: 100, after: after as never });
      refs.push(...peeked.filter(({ id }) => gone.has(id)).map(({ ref }) => ref));
      after = peeked.at(-1)?.ref;
      if (after === undefined) break;
    }
    await harness.engine.purgeByRef(queue, refs as never[]);
    left = [];
  }
  await harness.engine.send(queue, [message(harness, "3")]);
  const rest = await page(harness, path, first.next);
  const ids = [...first.lines, ...rest.lines].map(({ id }) => id);
  assert.equal(new Set(ids).size, ids.length);
  for (const { id } of stay) assert.ok(ids.includes(id));
});

test("what an export wrote comes back under its ids, as new arrivals of another queue", async () => {
  await using harness = await ApiHarness.open();
  const [from, to] = [await harness.queue("events"), await harness.queue("others")];
  const sent = [
    message(harness, '{"a":1.5,"big":12345678901234567890,"__proto__":[]}'),
    message(harness, " [1,\n 2] "),
    message(harness, "not JSON at all"),
    message(harness, "text", { contentType: "text", source: "dash" }),
    message(harness, Uint8Array.of(0xff, 0xfe), { contentType: "text" }),
    message(harness, Uint8Array.of(0xff, 0x0f), { contentType: "v8" }),
    message(harness, new Uint8Array(128_000), { contentType: "bytes" }),
    message(harness, "\0".repeat(128_000), { contentType: "text" }),
    message(harness, "7", { visibleAt: epochMs(harness.time.now() + 60_000) }),
    message(harness, "", { contentType: "text" }),
  ];
  await harness.engine.send(queueOf(from), sent);
  const { text } = await page(harness, from);
  await harness.time.advance(20_000);
  const reply = await bring(harness, to, text);
  assert.deepEqual(reply.result, { imported: 10, already_there: 0, backlog_count: 10 }, reply.message);
  const stored = await harness.engine.peek(queueOf(to), { max: 100 });
  const facts = ({ id, sentAt, contentType, source }: (typeof stored)[number] | NewMessage) => [
    id,
    sentAt,
    contentType,
    source,
  ];
  assert.deepEqual(stored.map(facts), sent.map(facts));
  const text8 = new TextDecoder();
  assert.equal(text8.decode(stored[0]?.body), '{"a":1.5,"big":12345678901234567890,"__proto__":[]}');
  assert.equal(text8.decode(stored[1]?.body), "[1,2]"); // the same value, written shorter
  for (const index of [2, 3, 4, 5, 6, 7, 8, 9]) {
    assert.deepEqual(Buffer.from(stored[index]?.body ?? []), Buffer.from(sent[index]?.body ?? []), String(index));
  }
  const delayed = stored[8];
  assert.deepEqual([delayed?.state, delayed?.until], ["delayed", harness.time.now() + 40_000]);

  await harness.time.advance(60_000);
  const again = await harness.queue("later");
  await bring(harness, again, text);
  assert.ok((await harness.engine.peek(queueOf(again), { max: 100 })).every(({ state }) => state === "ready"));
});

test("an import that is run again adds what is missing and doubles nothing, and everything adds up", async () => {
  await using harness = await ApiHarness.open();
  const path = await harness.queue("events");
  const lines = Array.from({ length: 30 }, (_, index) => plain(index));
  await bring(harness, path, lines.slice(0, 10).join("\n"));
  await harness.engine.lease(queueOf(path), {
    max: 3,
    window: undefined,
    visibility: milliseconds(30_000),
    holder: "pull" as Holder,
  });
  const reply = await bring(harness, path, `${lines.join("\n")}\n`);
  assert.deepEqual(reply.result, { imported: 20, already_there: 10, backlog_count: 30 });
  assert.deepEqual((await bring(harness, path, `${plain(1)}\n${plain(1)}\n${plain(99)}\n${plain(99)}`)).result, {
    imported: 1,
    already_there: 3,
    backlog_count: 31,
  });
  const accounting = await harness.must<{ accepted: number; holds: boolean }>(
    "GET",
    `/millrace${path}/accounting?deep=true`,
  );
  assert.deepEqual([accounting.accepted, accounting.holds], [31, true]);
});

test("lines without a time are not imported twice, however long ago they were imported first", async () => {
  await using harness = await ApiHarness.open();
  const path = await harness.queue("events");
  assert.equal((await bring(harness, path, plain(1))).status, 200);
  await harness.time.advance(3_600_000);
  const timed = plain(2, { timestamp_ms: harness.time.now() });
  assert.deepEqual((await bring(harness, path, `${timed}\n${plain(1)}`)).result, {
    imported: 1,
    already_there: 1,
    backlog_count: 2,
  });
});

test("a message that was imported is recognised when its sender sends it again", async () => {
  await using harness = await ApiHarness.open();
  const path = await harness.queue("events");
  await bring(harness, path, plain(1));
  const again = await harness.call("POST", `${path}/messages`, { body: 1, millrace_message_id: ownId(1) });
  assert.equal(again.status, 200, refusal(again));
  assert.equal((await harness.engine.metrics(queueOf(path))).backlog.count, 1);
});

const bad: readonly (readonly [what: string, line: string, said: RegExp])[] = [
  ["no JSON", "{", /line 3: it is not JSON: .*REQUEST_INVALID/],
  ["no object", "7", /line 3: expected an object with id, content_type and body, got 7/],
  ["no id", '{"content_type":"json","body":1}', /line 3: id: expected 32 lower-case hex digits, got nothing/],
  ["another id", plain(1, { id: "A".repeat(32) }), /line 3: id: expected 32 lower-case hex digits/],
  ["no content type", `{"id":"${ownId(1)}","body":1}`, /line 3: content_type: expected json, text, bytes, v8/],
  ["no body", `{"id":"${ownId(1)}","content_type":"json"}`, /line 3: expected one of body and body_base64/],
  ["two bodies", plain(1, { body_base64: "AA==" }), /line 3: expected one of body and body_base64/],
  ["text that is none", plain(1, { content_type: "text" }), /line 3: body: expected a string of well-formed Unicode/],
  ["half a character", plain(1, { content_type: "text", body: "\ud800" }), /line 3: body: expected a string/],
  ["bytes as text", plain(1, { content_type: "bytes" }), /line 3: expected body_base64/],
  [
    "no base64",
    `{"id":"${ownId(1)}","content_type":"bytes","body_base64":"?"}`,
    /line 3: body_base64: expected base64/,
  ],
  ["the future", plain(1, { timestamp_ms: 9e12 }), /line 3: timestamp_ms: expected a time that has come/],
  ["a half millisecond", plain(1, { timestamp_ms: 1.5 }), /line 3: timestamp_ms: expected whole milliseconds/],
  ["another state", plain(1, { state: "gone" }), /line 3: state: expected ready, delayed or leased/],
  ["a long source", plain(1, { source: "x".repeat(61) }), /line 3: source: expected at most 60 characters/],
  ["a large body", plain(1, { body: "x".repeat(128_000) }), /line 3: Message length of 128002 bytes exceeds/],
  [
    "deep nesting",
    plain(1, { body: 1 }).replace(":1}", `:${"[".repeat(1_500)}${"]".repeat(1_500)}}`),
    /line 3: .*1000 levels/,
  ],
];

for (const [what, line, said] of bad) {
  test(`a line with ${what} is refused with its number, and none of its request is taken in`, async () => {
    await using harness = await ApiHarness.open();
    const path = await harness.queue("events");
    const reply = await bring(harness, path, `${plain(8)}\n\n${line}\n${plain(9)}`);
    assert.ok([400, 413].includes(reply.status), refusal(reply));
    assert.match(reply.message, said);
    assert.equal((await harness.engine.metrics(queueOf(path))).backlog.count, 0);
    const later = await bring(harness, path, line, { firstLine: 4_711 });
    assert.match(later.message, /^line 4711: /);
  });
}

test("too many lines, too many bytes and a wrong first line are refused", async () => {
  await using harness = await ApiHarness.open();
  const path = await harness.queue("events");
  const lines = Array.from({ length: 1_001 }, (_, index) => plain(index)).join("\n");
  assert.equal(refusal(await bring(harness, path, lines)), "413 10026");
  assert.equal(refusal(await bring(harness, path, "x".repeat(4_000_001))), "413 10026");
  assert.equal(refusal(await bring(harness, path, plain(1), { firstLine: 0 })), "400 10026");
  assert.equal((await harness.engine.metrics(queueOf(path))).backlog.count, 0);
});

test("a full queue takes nothing; a rate limit does not concern an import", async () => {
  await using harness = await ApiHarness.open();
  const path = await harness.queue("events");
  const limit = async (limits: object): Promise<unknown> =>
    await harness.must("PATCH", `/millrace${path}/limits`, limits);
  await limit({ backlog_limit_bytes: 1_000_000, messages_per_second: 1 });
  const large = (number: number): string => plain(number, { body: "x".repeat(100_000) });
  assert.equal((await bring(harness, path, [1, 2, 3, 4, 5].map(large).join("\n"))).status, 200);
  assert.equal(refusal(await bring(harness, path, [6, 7, 8, 9, 10].map(large).join("\n"))), "429 10251");
  assert.equal((await harness.engine.metrics(queueOf(path))).backlog.count, 5);
});

test("reading is enough for an export, an import needs to write, and v8 an administrator", async () => {
  await using harness = await ApiHarness.open();
  const path = await harness.queue("events");
  const tokenFor = async (scopes: readonly string[], queues?: readonly string[]): Promise<string> => {
    const body = { name: "t", scopes, ...(queues !== undefined && { queues }) };
    return (await harness.must<{ value: string }>("POST", "/millrace/tokens", body)).value;
  };
  const reader = await tokenFor(["queues:read"]);
  const writer = await tokenFor(["queues:write"]);
  const stranger = await tokenFor(["queues:write"], ["others"]);
  const url = `/client/v4/accounts/${accountId}/millrace${path}/messages/export`;
  const exported = async (token: string): Promise<number> =>
    (await harness.api.server.inject({ url, headers: { authorization: `Bearer ${token}` } })).statusCode;
  assert.deepEqual([await exported(reader), await exported(stranger), await exported("mr_wrong")], [200, 403, 403]);
  assert.equal((await bring(harness, path, plain(1), { token: reader })).status, 403);
  assert.equal((await bring(harness, path, plain(1), { token: stranger })).status, 403);
  assert.equal((await bring(harness, path, plain(1), { token: writer })).status, 200);
  const v8 = `{"id":"${ownId(2)}","content_type":"v8","body_base64":"/w8iAXg="}`;
  const refused = await bring(harness, path, v8, { token: writer });
  assert.equal(refused.status, 403);
  assert.match(refused.message, /line 1: content_type: v8 is imported for administrators only/);
  assert.equal((await bring(harness, path, v8)).status, 200);
  const told = harness.log.events.filter(({ event }) => event === "queue.imported" || event === "queue.exported");
  assert.ok(told.every(({ fields }) => fields["queue"] === "events" && typeof fields["actor"] === "string"));
  assert.ok(told.length >= 3);
});

const anyBody = fc.oneof(
  fc.record({
    contentType: fc.constantFrom<ContentType>("json"),
    body: fc.json({ maxDepth: 4, stringUnit: "binary-ascii" }).map((text) => encoder.encode(text)),
  }),
  fc.record({
    contentType: fc.constantFrom<ContentType>("text"),
    body: fc.string({ unit: "binary" }).map((text) => encoder.encode(text)),
  }),
  fc.record({
    contentType: fc.constantFrom<ContentType>("json", "text", "bytes", "v8"),
    body: fc.uint8Array({ maxLength: 300 }),
  }),
);

test("whatever a message holds, it is the same after an export and an import", async () => {
  await using harness = await ApiHarness.open();
  let round = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(anyBody, { maxLength: 20 }), async (bodies) => {
      round += 1;
      const [from, to] = [await harness.queue(`from-${round}`), await harness.queue(`to-${round}`)];
      const sent = bodies.map(({ contentType, body }) => message(harness, body, { contentType }));
      await harness.engine.send(queueOf(from), sent);
      const { text } = await page(harness, from);
      const reply = await bring(harness, to, text);
      assert.equal(reply.status, 200, reply.message);
      const stored = await harness.engine.peek(queueOf(to), { max: 100 });
      assert.deepEqual(
        stored.map(({ id }) => id),
        sent.map(({ id }) => id),
      );
      for (const [index, { contentType, body }] of stored.entries()) {
        const before = sent[index]?.body ?? new Uint8Array();
        const value = (bytes: Uint8Array): unknown => {
          const shown = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
          try {
            return contentType === "json" ? JSON.parse(shown) : shown;
          } catch {
            return shown;
          }
        };
        assert.equal(contentType, sent[index]?.contentType);
        if (contentType === "json") assert.deepEqual(value(body), value(before));
        else assert.deepEqual(Buffer.from(body), Buffer.from(before));
      }
    }),
    { numRuns: 60 },
  );
});

const oddValue = fc.oneof(
  fc.jsonValue({ maxDepth: 2 }),
  fc.constantFrom(-1, 1e308, 2 ** 53, 0.5, "", "AA==", "delayed", "v8", "text", ownId(1)),
);
const oddLine = fc.oneof(
  { weight: 3, arbitrary: fc.nat(50).map((number) => plain(number)) },
  {
    weight: 3,
    arbitrary: fc
      .tuple(
        fc.nat(50),
        fc.constantFrom(
          "id",
          "content_type",
          "body",
          "body_base64",
          "timestamp_ms",
          "state",
          "until_ms",
          "source",
          "__proto__",
        ),
        oddValue,
      )
      .map(([number, key, value]) =>
        plain(number, JSON.parse(`{${JSON.stringify(key)}:${JSON.stringify(value)}}`) as object),
      ),
  },
  { weight: 1, arbitrary: fc.string({ unit: "binary" }) },
  { weight: 1, arbitrary: fc.constantFrom("", " ", "{}", "[]", "null", '"', "\r", "\ufeff", `{"id":"${ownId(1)}"`) },
);

test("no lines make the server fail, and what is refused leaves nothing behind", async () => {
  await using harness = await ApiHarness.open();
  const path = await harness.queue("events");
  const count = async (): Promise<number> => (await harness.engine.metrics(queueOf(path))).backlog.count;
  await fc.assert(
    fc.asyncProperty(
      fc.array(oddLine, { maxLength: 6 }),
      fc.option(fc.uint8Array({ maxLength: 20 }), { freq: 5 }),
      async (lines, tail) => {
        const before = await count();
        const reply = await bring(harness, path, Buffer.concat([Buffer.from(lines.join("\n")), tail ?? Buffer.of()]));
        assert.ok(reply.status < 500, reply.message);
        const { imported } = (reply.result ?? { imported: 0 }) as { imported: number };
        assert.equal(await count(), before + imported);
        if (reply.status >= 400) assert.match(reply.message, /^line \d+: /);
      },
    ),
    { numRuns: 400 },
  );
  const ids = new Set<MessageId>();
  for (let after: string | undefined; ;) {
    const peeked = await harness.engine.peek(queueOf(path), { max: 100, after: after as never });
    for (const { id } of peeked) {
      assert.ok(!ids.has(id));
      ids.add(id);
    }
    after = peeked.at(-1)?.ref;
    if (after === undefined) break;
  }
});
