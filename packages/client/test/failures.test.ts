// What goes wrong on the way: which failures are tried again, when, and what the caller is told in the end.

import assert from "node:assert/strict";
import { test } from "node:test";
import { createClient, QueueError } from "../src/index.ts";
import type { ClientOptions } from "../src/index.ts";
import { queueId, refusal, RestServer, token } from "./support/rest-server.ts";
import type { Reply, SentMessage } from "./support/rest-server.ts";
import { TestTime } from "./support/test-time.ts";

/** Answers the first requests from the list, then as the server would. */
function answersFirst(server: RestServer, ...replies: readonly (Reply | "hang up")[]): void {
  const waiting = [...replies];
  server.script = () => waiting.shift();
}

const instant = (): TestTime => new TestTime({ instantBelowMs: 30_000 });
const pausesOf = (time: TestTime): number[] => time.asked.items.filter((ms) => ms !== 30_000);

async function failure(promise: Promise<unknown>): Promise<QueueError> {
  const [outcome] = await Promise.allSettled([promise]);
  assert.ok(outcome?.status === "rejected" && outcome.reason instanceof QueueError);
  return outcome.reason;
}

const unavailable = refusal(503, 15000, "The server is stopping");

test("503, 429 and broken connections are tried again, with growing pauses", async () => {
  await using server = await RestServer.start();
  const time = instant();
  const queue = createClient({ ...server.options, time, randomBytes: (count) => new Uint8Array(count) }).queue(queueId);
  answersFirst(server, unavailable, "hang up", refusal(429, 10250, "Too fast"), unavailable);
  await queue.send("x");
  assert.equal(server.stored.length, 1);
  assert.deepEqual(pausesOf(time), [50, 100, 200, 400]); // half of 100, 200, 400, 800: the random share is 0
});

test("pauses differ between clients, within half and all of the delay", async () => {
  await using server = await RestServer.start();
  const time = instant();
  const queue = createClient({
    ...server.options,
    time,
    randomBytes: (count) => new Uint8Array(count).fill(255),
  }).queue(queueId);
  answersFirst(server, unavailable, unavailable);
  await queue.send("x");
  assert.deepEqual(pausesOf(time), [100, 200]);
});

test("the server may ask for a longer pause", async () => {
  await using server = await RestServer.start();
  const time = instant();
  const queue = createClient({ ...server.options, time }).queue(queueId);
  answersFirst(
    server,
    refusal(503, 15000, "busy", { "retry-after": "2" }),
    refusal(503, 15000, "busy", { "retry-after-ms": "2500" }),
  );
  await queue.metrics();
  assert.deepEqual(pausesOf(time), [2_000, 2_500]);
});

test("after enough tries the last failure is told, with code, status and retryable", async () => {
  await using server = await RestServer.start();
  server.script = () => unavailable;
  const queue = createClient({ ...server.options, time: instant(), retry: { attempts: 3 } }).queue(queueId);
  const error = await failure(queue.send("x"));
  assert.equal(server.requests.items.length, 3);
  assert.deepEqual(
    [error.code, error.status, error.retryable, error.cloudflareCodes],
    ["UNAVAILABLE", 503, true, [15000]],
  );
  assert.equal(error.message, "The server is stopping [HTTP 503, code 15000]");
});

test("x-should-retry says more than the status", async () => {
  await using server = await RestServer.start();
  server.script = () => refusal(429, 10251, "The disk is full", { "x-should-retry": "false" });
  const queue = createClient({ ...server.options, time: instant() }).queue(queueId);
  const error = await failure(queue.send("x"));
  assert.deepEqual([error.code, error.status, error.retryable], ["STORAGE_FULL", 429, false]);
  assert.equal(server.requests.items.length, 1);
});

test("a server that cannot be reached is named, with the reason", async () => {
  const server = await RestServer.start();
  const options = server.options;
  await server[Symbol.asyncDispose]();
  const error = await failure(
    createClient({ ...options, retry: { attempts: 1 } })
      .queue(queueId)
      .send("x"),
  );
  assert.deepEqual([error.code, error.status, error.retryable], ["CONNECTION_FAILED", undefined, true]);
  assert.match(error.message, /ECONNREFUSED/);
  assert.doesNotMatch(error.message, new RegExp(token));
});

test("a request without an answer is given up after requestTimeoutMs", async () => {
  await using server = await RestServer.start();
  const time = new TestTime();
  server.script = async ({ gone }) => {
    await new Promise<void>((resolve) => {
      gone.addEventListener("abort", () => {
        resolve();
      });
    });
    return undefined;
  };
  const queue = createClient({ ...server.options, time, requestTimeoutMs: 4_000, retry: { attempts: 1 } }).queue(
    queueId,
  );
  const failed = failure(queue.send("x"));
  await server.requests.atLeast(1, "requests");
  time.fire(4_000);
  const error = await failed;
  assert.deepEqual([error.code, error.retryable], ["TIMEOUT", true]);
  assert.match(error.message, /within 4000 ms/);
});

const answers: readonly (readonly [what: string, reply: Reply, code: string])[] = [
  ["a wrong token", refusal(403, 10000, "Authentication error"), "UNAUTHORIZED"],
  ["a token for another queue", refusal(403, 10106, "Not yours"), "UNAUTHORIZED"],
  ["a missing queue", refusal(404, 10104, "No such queue"), "QUEUE_NOT_FOUND"],
  ["a wrong path", refusal(404, 7003, "No route"), "ROUTE_NOT_FOUND"],
  ["a page instead of the API", { status: 404, body: "<html>" }, "ROUTE_NOT_FOUND"],
  ["a page that looks like success", { status: 200, body: "<html>" }, "RESPONSE_INVALID"],
  ["a message the server finds too large", refusal(413, 10204, "Too large"), "MESSAGE_TOO_LARGE"],
  ["anything else that is refused", refusal(400, 10207, "Bad"), "REQUEST_REFUSED"],
];

for (const [what, reply, code] of answers) {
  test(`${what} is ${code}, and is not tried again`, async () => {
    await using server = await RestServer.start();
    server.script = () => reply;
    const error = await failure(
      createClient({ ...server.options, time: instant() })
        .queue(queueId)
        .send("x"),
    );
    assert.deepEqual([error.code, error.retryable], [code, false]);
    assert.equal(server.requests.items.length, 1);
  });
}

test("with messageIds, a message keeps its id when it is sent again", async () => {
  await using server = await RestServer.start();
  const time = instant();
  const queue = createClient({ ...server.options, time, messageIds: true }).queue(queueId);
  answersFirst(server, "hang up", unavailable);
  await Promise.all([queue.send("a"), queue.sendBatch([{ body: "b" }])]);
  const single = server.to("/messages").map(({ body }) => (body as SentMessage).millrace_message_id);
  const batched = server
    .to("/batch")
    .map(({ body }) => (body as { messages: SentMessage[] }).messages[0]?.millrace_message_id);
  assert.equal(single.length + batched.length, 4);
  for (const ids of [single, batched]) {
    assert.equal(new Set(ids).size, 1);
    assert.match(ids[0] ?? "", /^[0-9a-f]{32}$/);
  }
  assert.notEqual(single[0], batched[0]);
  assert.equal(Number.parseInt(single[0]?.slice(0, 12) ?? "", 16), 1_800_000_000_000);
});

const idsIn = (server: RestServer): (string | undefined)[] =>
  server.to("/messages").map(({ body }) => (body as SentMessage).millrace_message_id);
const resendsIn = (server: RestServer): unknown[] =>
  server.to("/messages").map(({ headers }) => headers["millrace-resend"]);

test("ids travel once the server has said that it knows them, and never with messageIds: false", async () => {
  await using server = await RestServer.start();
  const send = async (options: Partial<ClientOptions> = {}): Promise<(string | undefined)[]> => {
    const queue = createClient({ ...server.options, ...options }).queue(queueId);
    const before = server.to("/messages").length;
    await queue.send("a");
    await queue.send("b");
    return idsIn(server).slice(before);
  };
  assert.deepEqual(await send(), [undefined, undefined]);
  assert.deepEqual(server.requests.items[0]?.body, { body: "a", content_type: "json" });
  server.knowsMessageIds = true;
  const [first, second] = await send();
  assert.equal(first, undefined); // nothing was heard of the server yet
  assert.match(second ?? "", /^[0-9a-f]{32}$/);
  assert.deepEqual(await send({ messageIds: false }), [undefined, undefined]);
});

test("the look-up of a queue's name tells it before the first send", async () => {
  await using server = await RestServer.start();
  server.knowsMessageIds = true;
  await createClient(server.options).queue("orders").send("a");
  assert.match(idsIn(server)[0] ?? "", /^[0-9a-f]{32}$/);
});

test("an error page of something in between does not make the client forget it", async () => {
  await using server = await RestServer.start();
  server.knowsMessageIds = true;
  const random = (count: number): Uint8Array => new Uint8Array(count).fill(server.requests.items.length);
  const queue = createClient({ ...server.options, time: instant(), randomBytes: random }).queue("orders");
  await queue.send("a");
  answersFirst(server, { status: 502, headers: { "millrace-message-ids": "" }, body: "<html>" });
  await queue.send("b");
  const [, second, third] = idsIn(server);
  assert.match(second ?? "", /^[0-9a-f]{32}$/);
  assert.equal(third, second);
  assert.deepEqual(resendsIn(server), [undefined, undefined, "51"]);
});

test("a repetition says how long ago the first try was whose outcome is unknown; after a refusal there is none", async () => {
  await using server = await RestServer.start();
  const time = instant();
  const random = (count: number): Uint8Array => new Uint8Array(count);
  const queue = createClient({ ...server.options, time, randomBytes: random, messageIds: true }).queue(queueId);
  answersFirst(server, refusal(429, 10250, "Too fast"), "hang up", unavailable);
  await queue.send("x");
  assert.deepEqual(resendsIn(server), [undefined, undefined, "100", "300"]);
});

const wrongOptions: readonly (readonly [what: string, options: Partial<ClientOptions>, message: RegExp])[] = [
  ["no address", { baseUrl: "localhost" }, /baseUrl: expected an http or https address, got "localhost"/],
  ["another protocol", { baseUrl: "ftp://localhost/" }, /baseUrl/],
  ["no account id", { accountId: "me" }, /accountId: expected 32 hex digits, got "me"/],
  ["an empty token", { token: "" }, /token: expected printable/],
  [
    "no attempts",
    { retry: { attempts: 0 } },
    /retry.attempts: expected a whole number of attempts from 1 to 1000, got 0/,
  ],
  ["too short a timeout", { requestTimeoutMs: 0.5 }, /requestTimeoutMs/],
];

for (const [what, options, message] of wrongOptions) {
  test(`createClient refuses ${what}`, () => {
    const good = { baseUrl: "http://127.0.0.1", accountId: "a".repeat(32), token };
    assert.throws(() => createClient({ ...good, ...options }), { code: "OPTION_INVALID", message });
  });
}

test("baseUrl may leave out the API's path, and end in a slash", async () => {
  await using server = await RestServer.start();
  for (const baseUrl of [server.baseUrl.replace("/client/v4", ""), `${server.baseUrl}/`]) {
    await createClient({ ...server.options, baseUrl })
      .queue(queueId)
      .send("x");
  }
  assert.equal(server.stored.length, 2);
});

test("any fetch will do", async () => {
  const seen: string[] = [];
  const client = createClient({
    baseUrl: "https://queues.example/client/v4",
    accountId: "a".repeat(32),
    token,
    fetch: (url, init) => {
      seen.push(`${init.method} ${url}`);
      return Promise.resolve(Response.json({ success: true, errors: [], messages: [], result: {} }));
    },
  });
  await client.queue(queueId).send("x");
  assert.deepEqual(seen, [
    `POST https://queues.example/client/v4/accounts/${"a".repeat(32)}/queues/${queueId}/messages`,
  ]);
});
