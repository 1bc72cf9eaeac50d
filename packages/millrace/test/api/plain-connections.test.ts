// Connections in front of node:http: that nobody can tell which of the two answered, whatever is sent and however it is cut.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import { createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";

import fc from "fast-check";
import { account, authorization, post, Wire } from "./wire.ts";
import type { Exchange } from "./wire.ts";
import { adminToken, ApiHarness } from "./api-harness.ts";

interface Opened {
  readonly harness: ApiHarness;
  /** Through the connections in front. */
  readonly wire: Wire;
  /** To the same server, whose node:http gets the connections at once. */
  readonly beside: Wire;
  readonly queue: string;
  /** Requests since it was asked last that node:http saw. */
  readonly seen: () => number;
  readonly [Symbol.asyncDispose]: () => Promise<void>;
}

async function open(): Promise<Opened> {
  await using parts = new AsyncDisposableStack();
  const harness = parts.use(await ApiHarness.open());
  const wire = await Wire.open(harness);
  const queue = await harness.queue("jobs");
  await harness.must("POST", `${queue}/consumers`, { type: "http_pull" });
  const http = harness.api.server.server;
  let count = 0;
  http.prependListener("request", () => (count += 1));
  const seen = (): number => {
    const since = count;
    count = 0;
    return since;
  };
  const [listener] = createHttpServer().listeners("connection") as ((this: Server, socket: Socket) => void)[];
  const besides = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => listener?.call(http, socket));
  await new Promise<void>((resolve) => besides.listen(0, "127.0.0.1", resolve));
  parts.defer(() => void besides.close());
  const disposal = parts.move();
  return {
    harness,
    wire,
    beside: new Wire((besides.address() as AddressInfo).port),
    queue,
    seen,
    [Symbol.asyncDispose]: async () => await disposal.disposeAsync(),
  };
}

/** Both ends of a new connection. */
async function connectBoth({ harness, wire }: Opened): Promise<{ client: Socket; server: Socket; text: () => string }> {
  const connected = once(harness.api.server.server, "connection");
  const client = await wire.connect();
  const [server] = (await connected) as [Socket];
  let text = "";
  client.on("data", (piece: string) => (text += piece));
  client.on("error", () => undefined);
  return { client, server, text: () => text };
}

/** Whatever it ends with. */
async function gone(socket: Socket): Promise<void> {
  await new Promise<void>((resolve) => socket.once("close", () => resolve()));
}

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await setImmediate();
}

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

const countIn = (text: string): number => text.match(/HTTP\/1\.1 200 /g)?.length ?? 0;

/** Sends stay under way until `go` is called. */
function holdSends({ engine }: ApiHarness): { readonly begun: Promise<void>; readonly go: () => void } {
  const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
  const { promise: going, resolve: go } = Promise.withResolvers<void>();
  const send = engine.send.bind(engine);
  engine.send = async (...call) => {
    begin();
    await going;
    return await send(...call);
  };
  return { begun, go };
}

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

test("a client that goes away while its messages are being stored harms nobody", async () => {
  await using opened = await open();
  const { harness, wire, queue } = opened;
  const { client, server } = await connectBoth(opened);
  const { begun, go } = holdSends(harness);
  const push = post(`${queue}/messages`, '{"body":1}');
  client.write(push + push);
  await begun;
  const closed = gone(server);
  client.resetAndDestroy();
  await closed;
  go();
  assert.deepEqual((await wire.exchange(push)).statuses, [200]);
  assert.equal(harness.log.events.filter(({ level }) => level === "error").length, 0);
});

test("nothing more is taken from a client that does not read its answers", async () => {
  await using opened = await open();
  const { harness, queue } = opened;
  for (let count = 0; count < 10; count += 1) {
    const large = { body: "x".repeat(120_000), content_type: "text" };
    await harness.must("POST", `${queue}/messages/batch`, { messages: [large, large] });
  }
  let sends = 0;
  const send = harness.engine.send.bind(harness.engine);
  harness.engine.send = async (...call) => {
    sends += 1;
    return await send(...call);
  };
  const { client, server, text } = await connectBoth(opened);
  client.pause();
  const peeks = 20;
  client.write(post(`${queue}/messages/peek`, '{"batch_size":20}').repeat(peeks));
  await until(() => server.writableNeedDrain);
  const push = post(`${queue}/messages`, '{"body":1}');
  const pushes = 1_000;
  client.write(push.repeat(pushes));
  await until(() => server.isPaused());
  assert.equal(sends, 0);
  assert.ok(server.bytesRead < push.length * pushes, "the rest waits in the kernel");
  client.resume();
  await until(() => countIn(text().slice(-200_000)) > 0 && sends === pushes);
  await until(() => countIn(text()) === peeks + pushes);
  client.destroy();
});

for (const [where, before] of [
  ["in front of node:http", ""],
  ["in node:http", "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"],
] as const) {
  test(`of answers with messages' bodies a connection has one in the making, ${where}`, async () => {
    await using opened = await open();
    const { harness, queue, seen } = opened;
    let [making, most] = [0, 0];
    const lease = harness.engine.lease.bind(harness.engine);
    harness.engine.lease = async (...call) => {
      making += 1;
      most = Math.max(most, making);
      await setImmediate();
      making -= 1;
      return await lease(...call);
    };
    const { client, text } = await connectBoth(opened);
    const pull = post(`${queue}/messages/pull`, '{"batch_size":1}');
    const push = post(`${queue}/messages`, '{"body":1}');
    client.write(before + (push + pull).repeat(20) + pull.repeat(100));
    const all = 140 + (before === "" ? 0 : 1);
    await until(() => countIn(text()) === all);
    assert.deepEqual([most, seen()], [1, before === "" ? 0 : all]);
    client.destroy();
  });
}

test("behind a request that waits, node:http takes no more than came with it", async () => {
  await using opened = await open();
  const { harness, queue, seen } = opened;
  const { client, server, text } = await connectBoth(opened);
  const look = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
  const pull = post(`${queue}/messages/pull`, '{"batch_size":1}', "Millrace-Wait-Seconds: 60\r\n");
  const looks = 20_000;
  client.write(look + pull + look.repeat(looks));
  await until(() => server.isPaused());
  assert.ok(seen() < looks / 2, "the rest waits in the kernel");
  await harness.must("POST", `${queue}/messages`, { body: 1 });
  await until(() => countIn(text()) === looks + 2);
  client.destroy();
});

test("idle connections are closed in time, and what is not whole in time is node:http's", async (context) => {
  context.mock.timers.enable({ apis: ["setInterval"] });
  await using opened = await open();
  const { harness, queue, seen } = opened;
  const { keepAliveTimeout } = harness.api.server.server;
  const push = post(`${queue}/messages`, '{"body":1}');
  const turn = (): void => context.mock.timers.tick(10_000);

  const idle = await connectBoth(opened);
  idle.client.write(push);
  await until(() => countIn(idle.text()) === 1);
  for (let passed = 0; passed < keepAliveTimeout; passed += 10_000) turn();
  assert.equal(idle.server.destroyed, false);
  const closed = gone(idle.client);
  turn();
  turn();
  await closed;

  const slow = await connectBoth(opened);
  const [head = ""] = push.split('{"body"');
  slow.client.write(`${head}{"bo`);
  await until(() => slow.server.bytesRead > 0);
  await setImmediate();
  turn();
  await setImmediate();
  assert.equal(seen(), 0);
  slow.client.write("d");
  turn();
  await until(() => seen() === 1);
  slow.client.write('y":1}');
  await until(() => countIn(slow.text()) === 1);
  slow.client.destroy();

  const fresh = await connectBoth(opened);
  turn();
  turn();
  fresh.client.write(push);
  await until(() => countIn(fresh.text()) === 1);
  assert.equal(seen(), 1);
  fresh.client.destroy();
});

test("a stopping server ends idle connections, finishes what is under way, and refuses what comes then", async () => {
  await using opened = await open();
  const { harness, queue, seen } = opened;
  const push = post(`${queue}/messages`, '{"body":1}');
  const idle = await connectBoth(opened);
  idle.client.write(push);
  await until(() => countIn(idle.text()) === 1);
  const part = await connectBoth(opened);
  part.client.write(push.slice(0, -1));
  await until(() => part.server.bytesRead > 0);
  await setImmediate();
  const { begun, go } = holdSends(harness);
  const busy = await connectBoth(opened);
  busy.client.write(push);
  const late = await connectBoth(opened);
  late.client.write(push);
  await begun;
  await until(() => late.server.bytesRead > 0);
  await setImmediate();
  const closed = [idle, part, busy, late].map(async ({ client }) => await gone(client));

  const stopped = harness.api.close();
  await closed[0];
  assert.equal(seen(), 1, "what is not whole is node:http's");
  part.client.destroy();
  late.client.write(push);
  go();
  await Promise.all([stopped, ...closed]);
  assert.match(busy.text(), /^HTTP\/1\.1 200 [^]*\r\nConnection: close\r\n/);
  assert.equal(countIn(late.text()), 1);
});

test("a token is asked for at every request of a connection", async () => {
  await using opened = await open();
  const { harness, queue } = opened;
  const token = { name: "brief", scopes: ["queues:write"] };
  const { id, value } = await harness.must<{ id: string; value: string }>("POST", "/millrace/tokens", token);
  const push = post(`${queue}/messages`, '{"body":1}').replace(adminToken, value);
  const { client, text } = await connectBoth(opened);
  for (const count of [1, 2]) {
    client.write(push);
    await until(() => countIn(text()) === count);
  }
  await harness.must("DELETE", `/millrace/tokens/${id}`);
  client.write(push);
  await until(() => text().includes("HTTP/1.1 403 "));
  client.destroy();
});

test("what a stopping server cannot finish is cut off after its grace", async (context) => {
  await using opened = await open();
  const { harness, queue } = opened;
  const { client } = await connectBoth(opened);
  const { begun, go } = holdSends(harness);
  client.write(post(`${queue}/messages`, '{"body":1}'));
  await begun;
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const [stopped, cut] = [harness.api.close(), gone(client)];
  context.mock.timers.tick(5_000);
  await Promise.all([stopped, cut]);
  go();
});
