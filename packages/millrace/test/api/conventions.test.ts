// What holds for every request: authentication, the envelope, bodies, unknown routes.
import assert from "node:assert/strict";
import { connect } from "node:net";
import { test } from "node:test";

import { accountId, adminToken, ApiHarness, refusal } from "./api-harness.ts";

test("only a valid token gets in, whichever header carries it", async () => {
  await using harness = await ApiHarness.open();
  const as = async (headers: Record<string, string>) =>
    refusalOrOk(await harness.call("GET", "/queues", undefined, { token: undefined, headers }));
  assert.equal(await as({ authorization: `Bearer ${adminToken}` }), "ok");
  assert.equal(await as({ authorization: `bearer ${adminToken}` }), "ok");
  assert.equal(await as({ "x-auth-key": adminToken, "x-auth-email": "ada@example.com" }), "ok");
  for (const headers of [
    {},
    { authorization: "Bearer" },
    { authorization: "Bearer " },
    { authorization: `Basic ${adminToken}` },
    { authorization: `Bearer ${adminToken}x` },
    { authorization: `Bearer ${"x".repeat(5_000)}` },
    { "x-auth-key": adminToken },
    { "x-auth-key": "x", "x-auth-email": "ada@example.com" },
  ]) {
    assert.equal(await as(headers as Record<string, string>), "401 10000", JSON.stringify(headers).slice(0, 60));
  }
});

function refusalOrOk(reply: Parameters<typeof refusal>[0]): string {
  return reply.status === 200 ? "ok" : refusal(reply);
}

test("a bad token on push is 403, as documented", async () => {
  await using harness = await ApiHarness.open();
  const path = await harness.queue("q");
  assert.equal(refusal(await harness.call("POST", `${path}/messages`, { body: 1 }, { token: "wrong" })), "403 10000");
});

test("another account in the path is refused, a malformed one is no route", async () => {
  await using harness = await ApiHarness.open();
  assert.equal(refusal(await harness.call("GET", `~/accounts/${"b".repeat(32)}/queues`)), "403 10000");
  assert.equal(refusal(await harness.call("GET", "~/accounts/nonsense/queues")), "404 7003");
});

test("unknown routes and methods are 404 with code 7003, badly encoded and overlong paths too", async () => {
  await using harness = await ApiHarness.open();
  for (const [method, path] of [
    ["GET", "/nothing"],
    ["PUT", "/queues"],
    ["GET", "~/"],
    ["GET", "~/accounts/%zz/queues"],
    ["GET", `/queues/${"x".repeat(2_000)}`],
    ["GET", "/queues/../../../etc/passwd"],
    ["OPTIONS", "/queues"],
    ["GET", "/queues/"],
    ["DELETE", `/queues/${"0".repeat(32)}/consumers/`],
    ["GET", "/workers/scripts//settings"],
  ] as const) {
    assert.equal(refusal(await harness.call(method, path)), "404 7003", `${method} ${path.slice(0, 40)}`);
  }
});

test("JSON bodies are parsed whatever the content type says", async () => {
  await using harness = await ApiHarness.open();
  const types = [
    "application/json",
    "text/plain;charset=UTF-8",
    "application/x-www-form-urlencoded",
    ";;nonsense",
    "x",
    undefined,
  ];
  for (const [index, type] of types.entries()) {
    const raw = JSON.stringify({ queue_name: `q${index}` });
    const headers: Record<string, string> = type === undefined ? {} : { "content-type": type };
    assert.equal((await harness.call("POST", "/queues", undefined, { raw, headers })).status, 200, type);
  }
});

test("bodies that are not JSON, not UTF-8, too deep or too large are refused in words", async () => {
  await using harness = await ApiHarness.open();
  const post = async (raw: string | Buffer) => await harness.call("POST", "/queues", undefined, { raw });
  for (const raw of ["{", "", "nope", '{"queue_name":"a"}}', '{"queue_name":NaN}', "\u0000"]) {
    assert.equal(refusal(await post(raw)), "400 10026", JSON.stringify(raw));
  }
  assert.match((await post(Buffer.from([0x7b, 0x22, 0xff, 0xfe]))).message, /not UTF-8/);
  const deep = `${'{"a":'.repeat(20_000)}1${"}".repeat(20_000)}`;
  assert.match((await post(deep)).message, /nests more than 1000 levels/);
  assert.match((await post(`{"settings":${"[".repeat(20_000)}`)).message, /nests more than 1000 levels/);
  const large = await post(`"${"x".repeat(1_000_000)}"`);
  assert.equal(refusal(large), "413 10026");
});

test("every refusal carries the remedy, and none of the server's own paths", async () => {
  await using harness = await ApiHarness.open();
  const { message } = await harness.call("GET", `/queues/${"0".repeat(32)}`);
  assert.match(message, /does not exist \(QUEUE_NOT_FOUND\)\. Create it: /);
});

test("a defect is answered without its details and logged with them", async () => {
  await using harness = await ApiHarness.open();
  const path = await harness.queue("q");
  harness.engine.metrics = () => Promise.reject(new Error("secret path /var/lib"));
  const reply = await harness.call("GET", `${path}/metrics`);
  assert.equal(refusal(reply), "500 15000");
  assert.doesNotMatch(reply.message, /secret/);
  assert.equal(reply.headers["x-should-retry"], "false");
  assert.equal(harness.log.events.find(({ event }) => event === "api.failed")?.fields["status"], 500);
});

test("whoami's calls answer", async () => {
  await using harness = await ApiHarness.open();
  assert.equal((await harness.must<{ status: string }>("GET", "~/user/tokens/verify")).status, "active");
  assert.equal((await harness.must<{ status: string }>("GET", "/tokens/verify")).status, "active");
  assert.match((await harness.must<{ email: string }>("GET", "~/user")).email, /^administrator@/);
  assert.deepEqual(
    (await harness.must<{ id: string }[]>("GET", "~/accounts?page=1")).map(({ id }) => id),
    [accountId],
  );
  assert.equal(
    (await harness.must<{ account: { id: string } }[]>("GET", "~/memberships?page=1"))[0]?.account.id,
    accountId,
  );
});

test("what is not HTTP gets an envelope and a closed connection", async () => {
  await using harness = await ApiHarness.open();
  const address = new URL(await harness.api.listen({ host: "127.0.0.1", port: 0 }));
  const answer = await new Promise<string>((resolve, reject) => {
    const socket = connect(Number(address.port), address.hostname, () => socket.write("NONSENSE\r\n\r\n"));
    let text = "";
    socket.setEncoding("utf8");
    socket.on("data", (chunk: string) => (text += chunk));
    socket.on("end", () => resolve(text));
    socket.on("error", reject);
  });
  assert.match(answer, /^HTTP\/1\.1 400 /);
  assert.equal((JSON.parse(answer.split("\r\n\r\n")[1] ?? "") as { success: boolean }).success, false);
});

test("a request limit, where one is set, counts control-plane requests alone and says when to come back", async () => {
  await using harness = await ApiHarness.open({ requestLimit: 3 });
  const path = await harness.queue("q");
  await harness.must("GET", "/queues");
  await harness.must("GET", "/queues");
  await harness.time.advance(100_500);
  const refused = await harness.call("GET", "/queues");
  assert.equal(refusal(refused), "429 971");
  assert.deepEqual([refused.headers["retry-after"], refused.headers["retry-after-ms"]], ["200", "199500"]);
  for (let count = 0; count < 10; count += 1) await harness.must("POST", `${path}/messages`, { body: 1 });
  await harness.time.advance(200_000);
  await harness.must("GET", "/queues");
});

test("a stopping server ends long polls at once", async () => {
  await using harness = await ApiHarness.open();
  const path = await harness.queue("q");
  await harness.must("POST", `${path}/consumers`, { type: "http_pull" });
  const poll = harness.call("POST", `${path}/messages/pull`, {}, { headers: { "millrace-wait-seconds": "60" } });
  await harness.time.settle();
  await harness.api.close();
  assert.equal((await poll).status, 200);
});
