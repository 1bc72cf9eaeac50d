// Connections in front of node:http: that nobody can tell which of the two answered, whatever is sent and however it is cut.
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";

import fc from "fast-check";
import { connectBoth, countIn, gone, holdSends, open, until } from "./plain-connections-harness.ts";
import { account, authorization, post } from "./wire.ts";
import type { Exchange } from "./wire.ts";
import { adminToken } from "./api-harness.ts";

/** What differs from one moment to the next, and with what was stored meanwhile. */
const normal = (text: string): string =>
  text
    .replaceAll(/\r\nDate: [^\r]+/g, "\r\nDate: now")
    .replaceAll(/"(backlog_count|backlog_bytes|message_backlog_count|oldest_message_timestamp_ms)":\d+/g, '"$1":0')
    .replaceAll(/"messages":\[(?:\{"id"[^\]]*)?\]/g, '"messages":[]')
    .replaceAll(/\r\ncontent-length: \d+/gi, "\r\ncontent-length: n");

/**
 * When a request breaks the protocol its connection ends with the refusal, and answers that were not out by then are lost: which
 * ones depends on the turn in which node:http got the bytes, and in front they are waited for.
 */
function assertAlike(one: Exchange, other: Exchange, bytes: string): void {
  const [front, behind] = [normal(one.text), normal(other.text)];
  if (front.endsWith(broken) && (behind.endsWith(broken) || behind.includes("\r\nConnection: close\r\n"))) {
    const [few, more] = [front, behind].map(answersIn).toSorted((a, b) => a.length - b.length);
    if (isPartOf(few ?? [], more ?? [])) return;
  }
  assert.equal(front, behind, shown(bytes));
}

/** Without that refusal. */
const answersIn = (text: string): readonly string[] =>
  text.split(/(?=HTTP\/1\.1 \d{3} )/).filter((answer) => !answer.endsWith(broken));

/** Whether `more` has all that `few` has, in the same order. */
function isPartOf(few: readonly string[], more: readonly string[]): boolean {
  let found = 0;
  for (const answer of more) if (answer === few[found]) found += 1;
  return found === few.length;
}

const broken = `"message":"The request is not valid HTTP (REQUEST_MALFORMED). Send well-formed HTTP, with a body of JSON in UTF-8."}],"messages":[],"result":null}`;

function corpus(queue: string): readonly string[] {
  const messages = `${queue}/messages`;
  const body = '{"body":1}';
  const push = post(messages, body);
  const headers = [
    "",
    "Content-Type: application/json\r\n",
    "Content-Type:\r\n",
    "Connection: keep-alive\r\n",
    "Connection: KEEP-ALIVE\r\n",
    "connection: close\r\n",
    "Connection: keep-alive, close\r\n",
    "Connection: x\r\n",
    "Connection:\r\n",
    "Proxy-Connection: close\r\n",
    "Keep-Alive: timeout=1\r\n",
    "Expect: 100-continue\r\n",
    "Expect: magic\r\n",
    "Upgrade: h2c\r\n",
    "Connection: Upgrade\r\nUpgrade: h2c\r\n",
    "Connection: Upgrade\r\nUpgrade: websocket\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: identity\r\n",
    "Transfer-Encoding: gzip, chunked\r\n",
    "Transfer-Encoding:\r\n",
    "Transfer_Encoding: chunked\r\n",
    "Content-Length: 10\r\n",
    "Content-Length: 5\r\n",
    "Content-Length: 0\r\n",
    "content-length:10\r\n",
    "Content-Length : 10\r\n",
    "Host: y\r\n",
    `Authorization: Bearer wrong\r\n`,
    "X-Forwarded-Proto: https\r\n",
    "X: 1\r\nX: 2\r\n",
    "X : 1\r\n",
    " X: 1\r\n",
    "X: 1\r\n folded\r\n",
    "X: 1\r\n\tfolded\r\n",
    "X\r\n",
    ": 1\r\n",
    "X: 1\n",
    "X: 1\r",
    "X: \u0001\r\n",
    "X: \0\r\n",
    "X: \u00e9\r\n",
    "X: \u007f\r\n",
    "X: \t1\t \r\n",
    "X@Y: 1\r\n",
    "__proto__: 1\r\n",
    "constructor: 1\r\n",
    "Cookie: a\r\nCookie: b\r\n",
    "TE: trailers\r\n",
    "Trailer: X\r\n",
    "Content-Encoding: gzip\r\n",
    "Millrace-Resend: 5\r\n",
    "Millrace-Resend: x\r\n",
    "Millrace-Message-Source: dash\r\n",
    "Millrace-Message-Source: ;\r\n",
    "Millrace-Message-Source: a\r\nMillrace-Message-Source: b\r\n",
    `X: ${"y".repeat(7_000)}\r\n`,
    `X: ${"y".repeat(9_000)}\r\n`,
    `X: ${"y".repeat(17_000)}\r\n`,
    `X:${" ".repeat(7_000)}\r\n`,
    "X: y\r\n".repeat(300),
    Array.from({ length: 300 }, (_, index) => `X-${index}: y\r\n`).join(""),
  ];
  const lines = [
    ["HTTP/1.1", "HTTP/1.0"],
    ["HTTP/1.1", "HTTP/1.2"],
    ["HTTP/1.1", "HTTP/2.0"],
    ["HTTP/1.1", "http/1.1"],
    ["HTTP/1.1\r\n", "HTTP/1.1\n"],
    ["HTTP/1.1\r\n", "HTTP/1.1 \r\n"],
    [" HTTP/1.1", "  HTTP/1.1"],
    [" HTTP/1.1", "?x=1 HTTP/1.1"],
    [" HTTP/1.1", "#x HTTP/1.1"],
    [" HTTP/1.1", "/ HTTP/1.1"],
    [" HTTP/1.1", ""],
    ["POST ", "POST  "],
    ["POST ", "post "],
    ["POST ", "PUT "],
    ["POST ", "GET "],
    ["POST ", "HEAD "],
    ["POST ", "OPTIONS "],
    ["POST ", "BREW "],
    ["POST ", " POST "],
    ["POST ", "\r\nPOST "],
    ["POST ", "\r\n\r\n\r\nPOST "],
    ["POST ", "\nPOST "],
    ["POST /", "POST http://x/"],
    ["POST /", "POST //"],
    ["POST /", "POST \\"],
    ["/messages", "/m%65ssages"],
    ["/messages", "/messages\u00e9"],
    ["/messages", "/./messages"],
    ["/messages", "/messages/nothing"],
    ["/messages", "/messages;x"],
    ["Host: x\r\n", ""],
    ["Host: x\r\n", "Host:\r\n"],
    ["Host: x\r\n", "HOST: x:99\r\n"],
    [authorization, ""],
    [authorization, authorization + authorization],
    [authorization, `authorization: bearer   ${adminToken}  \r\n`],
    [authorization, `Authorization: Basic ${adminToken}\r\n`],
    [authorization, `X-Auth-Key: ${adminToken}\r\nX-Auth-Email: a@b\r\n`],
    [authorization, `X-Auth-Key: ${adminToken}\r\n`],
    ["Content-Length: 10", "Content-Length: 010"],
    ["Content-Length: 10", "Content-Length: +10"],
    ["Content-Length: 10", "Content-Length: -10"],
    ["Content-Length: 10", "Content-Length: 1e1"],
    ["Content-Length: 10", "Content-Length: 0xa"],
    ["Content-Length: 10", "Content-Length: 10, 10"],
    ["Content-Length: 10", "Content-Length: 10 10"],
    ["Content-Length: 10", "Content-Length:"],
    ["Content-Length: 10", "Content-Length: 9"],
    ["Content-Length: 10", "Content-Length: 11"],
    ["Content-Length: 10", "Content-Length: 0"],
    ["Content-Length: 10", "Content-Length: 900000"],
    ["Content-Length: 10", "Content-Length: 99999999999999999999"],
    ["Content-Length: 10\r\n", ""],
    ["\r\n\r\n", "\n\n"],
    ["\r\n\r\n", "\r\n"],
    ["\r\n", "\n"],
  ] as const;
  const bodies = ["", "{}", "{", "null", '{"body":"\u00e9"}', "\u00ef\u00bb\u00bf{}", '{"body":1,"delay_seconds":-1}'];
  const one = [
    ...headers.flatMap((header) => [post(messages, body, header), post(`${messages}/pull`, "", header)]),
    ...headers.map((header) => push.replace("\r\n\r\n", `\r\n${header}\r\n`)),
    ...lines.map(([from, to]) => push.replace(from, to)),
    ...["", "/batch", "/pull", "/ack", "/peek", "/purge"].flatMap((action) =>
      bodies.map((text) => post(messages + action, text)),
    ),
    ...Array.from({ length: 30 }, (_, index) => push.slice(0, index * 12)),
    `POST ${account}${messages} HTTP/1.1\r\nHost: x\r\n${authorization}Transfer-Encoding: chunked\r\n\r\na\r\n${body}\r\n0\r\n\r\n`,
    "CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "\u0016\u0003\u0001\u0002\u0000\u0001\u0000",
    "\r\n",
    "",
  ];
  // Alone, behind a plain one, and before one.
  return [...one, ...one.map((bytes) => push + bytes), ...one.map((bytes) => bytes + push)];
}

const shown = (bytes: string): string => JSON.stringify(bytes.length > 900 ? `${bytes.slice(0, 900)}…` : bytes);

test("a client that looks a queue up by its name stays on the way past node:http", async () => {
  await using opened = await open();
  const { wire, queue, seen } = opened;
  const lookUp = `GET ${account}/queues?name=jobs&page=1 HTTP/1.1\r\nHost: x\r\n${authorization}\r\n`;
  const { statuses } = await wire.exchange(lookUp + post(`${queue}/messages`, '{"body":1}'));
  assert.deepEqual([statuses, seen()], [[200, 200], 0]);
});

test("hundreds of odd requests are answered as node:http and what stands behind it answer them", async () => {
  await using opened = await open();
  const { wire, beside, queue, seen } = opened;
  let front = 0;
  const all = corpus(queue);
  assert.ok(all.length > 600, `${all.length}`);
  for (const bytes of all) {
    seen();
    const one = await wire.exchange(bytes);
    if (seen() === 0) front += one.statuses.length;
    const other = await beside.exchange(bytes);
    assertAlike(one, other, bytes);
  }
  assert.ok(front > 200, `${front} were answered in front`);
});

test("a plain request with any few bytes changed is answered as node:http and what stands behind it answer it", async () => {
  await using opened = await open();
  const { wire, beside, queue } = opened;
  const plain = post(`${queue}/messages`, '{"body":1}', "Content-Type: application/json\r\n");
  const piece = fc.constantFrom(
    "",
    " ",
    "\t",
    "\r",
    "\n",
    "\r\n",
    "\r\n\r\n",
    ":",
    "0",
    "1",
    ",",
    "\0",
    "\u00e9",
    "x",
    "/",
  );
  const change = fc.tuple(fc.nat(plain.length * 2), fc.nat(2), piece);
  await fc.assert(
    fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 3 }), async (changes) => {
      let bytes = plain + plain;
      for (const [at, removed, added] of changes) bytes = bytes.slice(0, at) + added + bytes.slice(at + removed);
      const [one, other] = await Promise.all([wire.exchange(bytes), beside.exchange(bytes)]);
      assertAlike(one, other, bytes);
    }),
    { numRuns: 400 },
  );
});

test("however the bytes are cut into pieces, the answers are the same", async () => {
  await using opened = await open();
  const { queue, wire } = opened;
  const messages = `${queue}/messages`;
  const bytes = [
    post(messages, '{"body":"first"}'),
    post(`${messages}/batch`, `{"messages":[{"body":"${"x".repeat(3_000)}"},{"body":2}]}`),
    post(messages, "{"),
    post(`${messages}/ack`, '{"acks":[]}', "Connection: keep-alive\r\n"),
    post(messages, '{"body":"last"}'),
  ].join("");
  const odd = post(`${messages}?x=1`, '{"body":"odd"}') + post(messages, '{"body":"behind"}');
  const whole = new Map<string, Exchange>();
  for (const tail of ["", odd]) whole.set(tail, await wire.exchange(bytes + tail));
  assert.deepEqual(whole.get("")?.statuses, [200, 200, 400, 200, 200]);
  const cut = fc.array(fc.nat(bytes.length + odd.length), { maxLength: 8 });
  await fc.assert(
    fc.asyncProperty(cut, fc.constantFrom("", odd), async (cuts, tail) => {
      const text = bytes + tail;
      const { client, server, text: answers } = await connectBoth(opened);
      const closed = gone(client);
      const ends = [...new Set(cuts.map((at) => Math.min(at, text.length))), text.length].toSorted((a, b) => a - b);
      let sent = 0;
      for (const end of ends) {
        client.write(text.slice(sent, end), "latin1");
        sent = end;
        await until(() => server.bytesRead === sent);
      }
      client.end();
      await closed;
      assert.equal(normal(answers()), normal(whole.get(tail)?.text ?? ""));
    }),
    { numRuns: 150 },
  );
});

test("requests behind one another are answered in their order and with few writes, past node:http", async () => {
  await using opened = await open();
  const { queue, seen } = opened;
  const { client, server, text } = await connectBoth(opened);
  let writes = 0;
  const write = server.write.bind(server);
  server.write = ((...call: Parameters<typeof write>) => {
    writes += 1;
    return write(...call);
  }) as typeof server.write;
  const refused = post(`${queue}/messages`, '{"body":1,"delay_seconds":-1}');
  client.write((post(`${queue}/messages`, '{"body":1}') + refused).repeat(20));
  await until(() => (text().match(/HTTP\/1\.1 /g)?.length ?? 0) === 40);
  const statuses = [...text().matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status);
  assert.deepEqual(statuses, Array.from({ length: 20 }, () => ["200", "400"]).flat());
  assert.ok(writes < 10, `${writes} writes`);
  assert.equal(seen(), 0);
  client.destroy();
});

test("what is odd waits for the answers before it, then goes to node:http, with all that follows", async () => {
  await using opened = await open();
  const { harness, queue, seen } = opened;
  const { client, text } = await connectBoth(opened);
  const { begun, go } = holdSends(harness);
  const push = post(`${queue}/messages`, '{"body":1}');
  client.write(push + push + post(`${queue}/messages?x=1`, '{"body":1}') + push);
  await begun;
  for (let turn = 0; turn < 20; turn += 1) await setImmediate();
  assert.deepEqual([seen(), text()], [0, ""]);
  go();
  await until(() => countIn(text()) === 4);
  assert.equal(seen(), 2);
  client.write(push);
  await until(() => countIn(text()) === 5);
  assert.equal(seen(), 1, "it is node:http's for good");
  client.destroy();
});

test("a client that closed its half meanwhile gets the answer of what is odd, too", async () => {
  await using opened = await open();
  const { harness, queue, beside } = opened;
  const push = post(`${queue}/messages`, '{"body":1}');
  for (const odd of [post(`${queue}/messages?x=1`, '{"body":1}'), push.slice(0, -1), push.slice(0, 40), "nonsense"]) {
    const expected = await beside.exchange(push + odd);
    const { client, server, text } = await connectBoth(opened);
    const { begun, go } = holdSends(harness);
    const [ended, closed] = [once(server, "end"), gone(client)];
    client.end(push + odd);
    await Promise.all([begun, ended]);
    go();
    await closed;
    assert.equal(normal(text()), normal(expected.text), shown(odd));
  }
});

test("a long poll ends when its client goes away, though something odd stands behind it", async () => {
  await using opened = await open();
  const { harness, queue } = opened;
  const { client, server } = await connectBoth(opened);
  const { promise: waits, resolve } = Promise.withResolvers<void>();
  const lease = harness.engine.lease.bind(harness.engine);
  harness.engine.lease = async (...call) => {
    const batch = await lease(...call);
    resolve();
    return batch;
  };
  const poll = post(`${queue}/messages/pull`, "{}", "Millrace-Wait-Seconds: 60\r\n");
  client.write(`${poll}GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n`);
  await waits;
  const closed = gone(server);
  client.destroy();
  await closed;
  await harness.must("POST", `${queue}/messages`, { body: 1 });
  const { messages } = await harness.must<{ messages: unknown[] }>("POST", `${queue}/messages/pull`, {});
  assert.equal(messages.length, 1, "nobody who is gone has leased it");
});
