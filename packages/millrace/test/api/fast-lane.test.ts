// The lane of pushes, pulls and acknowledgements: what it takes, what it leaves to the framework, and that nobody can tell which.
import assert from "node:assert/strict";
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { test } from "node:test";

import fc from "fast-check";
import { accountId, adminToken, ApiHarness, refusal } from "./api-harness.ts";
import { account, authorization, envelopeIn, post, Wire } from "./wire.ts";

/** Counts the requests that reach the framework. */
async function openCounted(): Promise<{ harness: ApiHarness; wire: Wire; queue: string; framework: () => number }> {
  const harness = await ApiHarness.open();
  let count = 0;
  harness.api.server.addHook("onResponse", (_request, _reply, done) => {
    count += 1;
    done();
  });
  const wire = await Wire.open(harness);
  const queue = await harness.queue("jobs");
  await harness.must("POST", `${queue}/consumers`, { type: "http_pull" });
  let told = count;
  const framework = (): number => {
    const since = count - told;
    told = count;
    return since;
  };
  return { harness, wire, queue, framework };
}

test("usual requests do not meet the framework, unusual ones do, and either is answered as it should be", async () => {
  const { harness: opened, wire, queue, framework } = await openCounted();
  await using harness = opened;
  const push = (path: string, headers = "", body = '{"body":1}'): string => post(path, body, headers);
  const messages = `${queue}/messages`;
  const chunked = `POST ${account}${messages} HTTP/1.1\r\nHost: x\r\n${authorization}Transfer-Encoding: chunked\r\n\r\n`;
  const list = (query: string, more = ""): string =>
    `GET ${account}/queues${query} HTTP/1.1\r\nHost: x\r\n${authorization}${more}\r\n`;
  const rows: readonly (readonly [what: string, bytes: string, statuses: readonly number[], framework: number])[] = [
    ["push", push(messages), [200], 0],
    ["bulk push", push(`${messages}/batch`, "", '{"messages":[{"body":1},{"body":2}]}'), [200], 0],
    ["pull", push(`${messages}/pull`, "", '{"batch_size":1}'), [200], 0],
    ["pull with no bytes", push(`${messages}/pull`, "", ""), [200], 0],
    ["ack", push(`${messages}/ack`, "", '{"acks":[]}'), [200], 0],
    ["peek", push(`${messages}/peek`, "", "{}"), [200], 0],
    ["expecting", push(messages, "Expect: 100-continue\r\n"), [100, 200], 0],
    ["odd content type", push(messages, "Content-Type: ;;nonsense\r\n"), [200], 0],
    ["refused body", push(messages, "", "{"), [400], 0],
    [
      "other credentials",
      push(messages).replace(authorization, `X-Auth-Key: ${adminToken}\r\nX-Auth-Email: a@b\r\n`),
      [200],
      0,
    ],
    ["unknown queue", push(`/queues/${"0".repeat(32)}/messages`), [404], 0],
    ["one behind the other", push(messages) + push(`${messages}/pull`, "", "{}") + push(messages), [200, 200, 200], 0],
    ["mixed", push(messages) + push(`${messages}?x=1`) + push(messages), [200, 200, 200], 1],
    ["close", push(messages, "Connection: close\r\n"), [200], 0],
    ["query", push(`${messages}?x=1`), [200], 1],
    ["chunked", `${chunked}a\r\n{"body":1}\r\n0\r\n\r\n`, [200], 1],
    ["encoded path", push(messages.replace("messages", "%6dessages")), [200], 1],
    [
      "upper-case id",
      push(messages.toUpperCase().replace("/QUEUES/", "/queues/").replace("/MESSAGES", "/messages")),
      [200],
      1,
    ],
    ["trailing slash", push(`${messages}/`), [404], 1],
    ["no such action", push(`${messages}/pulls`), [404], 1],
    ["malformed id", push("/queues/non-sense/messages"), [400], 1],
    ["HTTP/1.0", push(messages).replace("HTTP/1.1", "HTTP/1.0"), [200], 1],
    ["no host", push(messages).replace("Host: x\r\n", ""), [400], 1],
    ["no length", push(`${messages}/pull`, "", "").replace("Content-Length: 0\r\n", ""), [200], 1],
    ["GET", push(messages).replace("POST", "GET"), [404], 1],
    ["a queue by its name", list("?name=jobs&page=1"), [200], 0],
    ["a page that is none", list("?page=x"), [400], 0],
    ["one behind a push", push(messages) + list("?name=jobs") + push(messages), [200, 200, 200], 0],
    ["all queues", list(""), [200], 1],
    ["an empty query", list("?"), [200], 1],
    ["names", list("?name=jobs&name=others"), [200], 1],
    ["an encoded name", list("?name=%6aobs"), [200], 1],
    ["a name that objects have", list("?__proto__=1"), [200], 1],
    ["the end of a list", list("?name=jobs&"), [200], 1],
    ["a list with a body", list("?name=jobs", "Content-Length: 2\r\n") + "{}", [200], 1],
    ["a list without a token", list("?name=jobs").replace(authorization, ""), [401], 1],
    ["a list of another account", list("?name=jobs").replace(accountId, "b".repeat(32)), [403], 1],
    ["HEAD", push(messages, "", "").replace("POST", "HEAD"), [404], 1],
    ["OPTIONS", push(messages, "", "").replace("POST", "OPTIONS"), [404], 1],
    ["no token", push(messages).replace(authorization, ""), [403], 1],
    ["wrong token", push(messages).replace(adminToken, "wrong"), [403], 1],
    ["another account", push(messages).replace(accountId, "b".repeat(32)), [403], 1],
    ["no account", push(messages).replace(accountId, "nonsense"), [404], 1],
    ["too large", push(messages, "", `{"body":"${"x".repeat(800_000)}"}`), [413], 1],
    ["bulk too large", push(`${messages}/batch`, "", `{"body":"${"x".repeat(1_700_000)}"}`), [413], 1],
  ];
  for (const [what, bytes, statuses, met] of rows) {
    const exchange = await wire.exchange(bytes);
    assert.deepEqual([exchange.statuses, framework()], [statuses, met], `${what}: ${exchange.text.slice(0, 600)}`);
    assert.match(exchange.text, /\r\ncontent-type: application\/json\r\n/, what);
  }
  assert.equal(harness.log.events.filter(({ level }) => level === "error").length, 0);
});

test("head and body of an answer are the same on either way", async () => {
  const { harness: opened, wire, queue, framework } = await openCounted();
  await using _ = opened;
  const normal = (text: string): string =>
    text
      .replace(/\r\nDate: [^\r]+/i, "")
      .replace(/"backlog_count":\d+/, "")
      .replace(/"backlog_bytes":\d+/, "");
  for (const body of [
    "{}",
    '{"body":"é\ud83d"}',
    '{"body":1,"delay_seconds":-1}',
    '{"body":"x","content_type":"text\u00e9"}',
    "\ufeff{}",
    '{"body":2}',
  ]) {
    const bytes = Buffer.from(body).toString("latin1");
    const lane = await wire.exchange(post(`${queue}/messages`, bytes));
    assert.equal(framework(), 0);
    const other = await wire.exchange(post(`${queue}/messages?`, bytes));
    assert.equal(framework(), 1);
    const [one, two] = [normal(lane.text), normal(other.text)].map((text) => text.replace(/content-length: \d+/, ""));
    assert.equal(one, two);
  }
});

test("a list is the same on either way, and so is what is refused", async () => {
  const { harness: opened, wire, framework } = await openCounted();
  await using _ = opened;
  await opened.queue("others");
  framework();
  for (const query of ["name=jobs&page=1", "name=nobody", "page=1&per_page=1", "page=0", "per_page=x", "unknown=1"]) {
    const ask = async (end: string): Promise<string> => {
      const bytes = `GET ${account}/queues?${query}${end} HTTP/1.1\r\nHost: x\r\n${authorization}\r\n`;
      return (await wire.exchange(bytes)).text.replace(/\r\nDate: [^\r]+/i, "");
    };
    const lane = await ask("");
    assert.equal(framework(), 0, query);
    const other = await ask("&");
    assert.equal(framework(), 1, query);
    assert.deepEqual(linesOf(lane), linesOf(other), query);
  }
});

/** Of an answer; its headers in any order. */
function linesOf(text: string): readonly string[] {
  return text.toLowerCase().split("\r\n").toSorted();
}

test("any body is judged alike on either way", async () => {
  const { harness: opened, queue } = await openCounted();
  await using harness = opened;
  const scalar = fc.oneof(fc.jsonValue({ maxDepth: 2 }), fc.constantFrom("text", "json", 5, 86_401, 1.5, "x", ""));
  const object = fc.dictionary(
    fc.constantFrom(
      "body",
      "content_type",
      "delay_seconds",
      "messages",
      "acks",
      "retries",
      "batch_size",
      "__proto__",
      "lease_id",
    ),
    fc.oneof(
      scalar,
      fc.array(fc.dictionary(fc.constantFrom("body", "content_type", "lease_id", "delay_seconds"), scalar), {
        maxLength: 3,
      }),
    ),
  );
  const action = fc.constantFrom("", "/batch", "/pull", "/ack");
  await fc.assert(
    fc.asyncProperty(action, fc.oneof(object, scalar), async (which, value) => {
      const raw = JSON.stringify(value) ?? "";
      const lane = await harness.call("POST", `${queue}/messages${which}`, undefined, { raw });
      const framework = await harness.call("POST", `${queue}/messages${which}?`, undefined, { raw });
      assert.deepEqual([lane.status, lane.envelope.errors], [framework.status, framework.envelope.errors]);
      assert.deepEqual(Object.keys(lane.result ?? {}), Object.keys(framework.result ?? {}));
    }),
    { numRuns: 500 },
  );
});

test("a body that comes in pieces is put together, and one that is cut off stores nothing", async () => {
  const { harness: opened, wire, queue, framework } = await openCounted();
  await using harness = opened;
  const [head = "", body = ""] = post(`${queue}/messages`, '{"body":"0123456789","content_type":"text"}').split(
    "\r\n\r\n",
  );
  const nextRequest = async (): Promise<IncomingMessage> =>
    ((await once(harness.api.server.server, "request")) as [IncomingMessage])[0];

  /** A connection of node:http, which it is for good after something unusual. */
  const connect = async (): Promise<Socket> => {
    const socket = await wire.connect();
    socket.write("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    await once(socket, "data");
    return socket;
  };

  const slow = await connect();
  const slowRequest = nextRequest();
  slow.write(`${head}\r\n\r\n`);
  const arriving = await slowRequest;
  for (const piece of [body.slice(0, 1), body.slice(1, 12)]) {
    const arrived = once(arriving, "data");
    slow.write(piece);
    await arrived;
  }
  slow.write(body.slice(12));
  const [answer] = (await once(slow, "data")) as [string];
  assert.match(answer, /^HTTP\/1\.1 200 /);
  slow.destroy();

  const gone = await connect();
  framework();
  const goneRequest = nextRequest();
  gone.write(`${head}\r\n\r\n${body.slice(0, 5)}`);
  const broken = await goneRequest;
  const closed = new Promise<void>((resolve) => broken.once("close", resolve));
  gone.destroy();
  await closed;

  const short = await wire.exchange(`${head}\r\n\r\n${body.slice(0, 5)}`);
  assert.deepEqual([short.statuses, envelopeIn(short).errors[0]?.code], [[400], 10_026]);
  const long = await wire.exchange(`${head}\r\n\r\n${body}more`);
  assert.deepEqual(long.statuses, [200, 400], "what is beyond the length is no part of the body");
  assert.equal(framework(), 0);
  const { messages } = await harness.must<{ messages: { body: string }[] }>("POST", `${queue}/messages/peek`, {});
  assert.deepEqual(
    messages.map((message) => message.body),
    ["0123456789", "0123456789"],
  );
});

test("a stopping server answers what it took, then takes nothing more", async () => {
  const { harness: opened, wire, queue } = await openCounted();
  await using harness = opened;
  const { promise: stored, resolve: store } = Promise.withResolvers<void>();
  const { promise: sending, resolve: begun } = Promise.withResolvers<void>();
  const send = harness.engine.send.bind(harness.engine);
  harness.engine.send = async (...call) => {
    begun();
    await stored;
    return await send(...call);
  };
  const socket = await wire.connect();
  let text = "";
  socket.on("data", (piece: string) => (text += piece));
  const closed = once(socket, "close");
  socket.write(post(`${queue}/messages`, '{"body":1}'));
  await sending;
  const stopped = harness.api.close();
  socket.write(post(`${queue}/messages`, '{"body":2}'));
  store();
  await Promise.all([stopped, closed]);
  assert.match(text, /^HTTP\/1\.1 200 /);
  assert.doesNotMatch(text.slice(10), /HTTP\/1\.1 200 /);
  assert.equal((await harness.engine.metrics(queue.slice("/queues/".length) as never)).backlog.count, 1);
});

test("a client that goes away before its answer harms nobody", async () => {
  const { harness: opened, wire, queue } = await openCounted();
  await using harness = opened;
  const connected = once(harness.api.server.server, "connection");
  const socket = await wire.connect();
  const [serverEnd] = (await connected) as [Socket];
  const left = once(serverEnd, "end");
  const { promise: stored, resolve } = Promise.withResolvers<void>();
  const send = harness.engine.send.bind(harness.engine);
  harness.engine.send = async (...call) => {
    socket.destroy();
    await left;
    resolve();
    return await send(...call);
  };
  socket.write(post(`${queue}/messages`, '{"body":1}'));
  await stored;
  harness.engine.send = send;
  assert.deepEqual((await wire.exchange(post(`${queue}/messages`, '{"body":1}'))).statuses, [200]);
});

test("a token that was good is refused as soon as it is revoked or over", async () => {
  const { harness: opened, queue } = await openCounted();
  await using harness = opened;
  const push = async (token: string): Promise<string> => {
    const reply = await harness.call("POST", `${queue}/messages`, { body: 1 }, { token });
    return reply.status === 200 ? "ok" : refusal(reply);
  };
  const create = async (body: object): Promise<{ id: string; value: string }> =>
    await harness.must("POST", "/millrace/tokens", { scopes: ["queues:write"], ...body });
  const revoked = await create({ name: "revoked" });
  for (let time = 0; time < 3; time += 1) assert.equal(await push(revoked.value), "ok");
  await harness.must("DELETE", `/millrace/tokens/${revoked.id}`);
  assert.equal(await push(revoked.value), "403 10000");
  const expires_on = new Date(harness.time.now() + 60_000).toISOString();
  const brief = await create({ name: "brief", expires_on });
  assert.equal(await push(brief.value), "ok");
  await harness.time.advance(60_000);
  assert.equal(await push(brief.value), "403 10000");
  const reader = await create({ name: "reader", scopes: ["queues:read"] });
  assert.equal(await push(reader.value), "403 10106");
  assert.equal(await push(adminToken), "ok");
});
