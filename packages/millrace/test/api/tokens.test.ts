// Access tokens, what their scopes allow, and the audit log.
import assert from "node:assert/strict";
import { test } from "node:test";

import { ApiHarness, refusal } from "./api-harness.ts";

interface Token {
  readonly id: string;
  readonly value: string;
  readonly status: string;
}

async function tokenFor(harness: ApiHarness, fields: object): Promise<Token> {
  return await harness.must<Token>("POST", "/millrace/tokens", { name: "test", ...fields });
}

test("a token is shown once, works, and is refused once it is revoked or expired", async () => {
  await using harness = await ApiHarness.open();
  const expires_on = new Date(harness.time.now() + 60_000).toISOString();
  const { id, value } = await tokenFor(harness, { scopes: ["queues:read"], expires_on });
  assert.match(value, /^mr_[\w-]{43}$/);
  const [listed] = await harness.must<[object]>("GET", "/millrace/tokens");
  assert.deepEqual(Object.keys(listed).toSorted(), [
    "created_on",
    "expires_on",
    "id",
    "name",
    "queues",
    "scopes",
    "status",
  ]);
  assert.ok(!JSON.stringify(harness.controlPlane.view.all("token")).includes(value));
  const use = async (token: string) => (await harness.call("GET", "/queues", undefined, { token })).status;
  assert.equal(await use(value), 200);
  await harness.time.advance(60_000);
  assert.equal(await use(value), 401);
  assert.equal((await harness.must<[Token]>("GET", "/millrace/tokens"))[0].status, "expired");

  const other = await tokenFor(harness, { scopes: ["queues:read"] });
  assert.equal(await harness.must("DELETE", `/millrace/tokens/${other.id}`), null);
  assert.equal(await use(other.value), 401);
  await harness.must("DELETE", `/millrace/tokens/${id}`);
  assert.equal(refusal(await harness.call("DELETE", `/millrace/tokens/${id}`)), "404 1001");
});

test("scopes allow what they say and no more", async () => {
  await using harness = await ApiHarness.open();
  const path = await harness.queue("q");
  const attempts: readonly (readonly [method: string, path: string, body: unknown, refused: string])[] = [
    ["GET", "/queues", undefined, "403 10000"],
    ["GET", `${path}/metrics`, undefined, "403 10000"],
    ["POST", `${path}/messages/peek`, {}, "403 10106"],
    ["POST", `${path}/messages`, { body: 1 }, "403 10106"],
    ["POST", "/queues", { queue_name: "new" }, "403 10000"],
    ["GET", "/workers/scripts", undefined, "403 10000"],
    ["GET", "/millrace/tokens", undefined, "403 10000"],
    ["GET", "/millrace/audit", undefined, "403 10000"],
  ];
  const allowedBy = { "queues:read": 3, "queues:write": 5, "workers:write": 6, admin: 8 };
  for (const [scope, allowed] of Object.entries(allowedBy)) {
    const { value: token } = await tokenFor(harness, { scopes: [scope] });
    for (const [index, [method, where, body, refused]] of attempts.entries()) {
      const reply = await harness.call(method, where, body, { token });
      if (index < allowed)
        assert.ok(reply.status === 200 || reply.status === 409, `${scope} ${method} ${where}: ${reply.message}`);
      else assert.equal(refusal(reply), refused, `${scope} ${method} ${where}`);
    }
  }
});

test("a token for certain queues sees and reaches only those", async () => {
  await using harness = await ApiHarness.open();
  const mine = await harness.queue("mine");
  const other = await harness.queue("other");
  const { value: token } = await tokenFor(harness, { scopes: ["queues:write"], queues: ["mine"] });
  const call = async (method: string, path: string, body?: unknown) =>
    await harness.call(method, path, body, { token });
  assert.deepEqual(
    ((await call("GET", "/queues")).result as { queue_name: string }[]).map(({ queue_name }) => queue_name),
    ["mine"],
  );
  assert.equal((await call("POST", `${mine}/messages`, { body: 1 })).status, 200);
  assert.equal(refusal(await call("POST", `${other}/messages`, { body: 1 })), "403 10106");
  assert.equal(refusal(await call("GET", other)), "403 10000");
  assert.equal(refusal(await call("POST", "/queues", { queue_name: "new" })), "403 10000");
  assert.equal(refusal(await call("DELETE", mine)), "403 10000");
  assert.equal(refusal(await call("PATCH", mine, { queue_name: "renamed" })), "403 10000");
  assert.equal(
    refusal(await call("POST", `${mine}/consumers`, { type: "http_pull", dead_letter_queue: "other" })),
    "403 10000",
  );
  assert.equal(
    refusal(await call("POST", `${mine}/consumers`, { type: "http_pull", dead_letter_queue: "absent" })),
    "403 10000",
  );
  assert.equal((await call("POST", `${mine}/consumers`, { type: "http_pull" })).status, 200);
});

test("tokens that make no sense are refused", async () => {
  await using harness = await ApiHarness.open();
  for (const body of [
    {},
    { name: "", scopes: ["admin"] },
    { name: "administrator", scopes: ["admin"] },
    { name: "x", scopes: ["workers:write"], queues: ["q"] },
    { name: "x", scopes: [] },
    { name: "x", scopes: ["root"] },
    { name: "x", scopes: "admin" },
    { name: "x", scopes: ["admin"], expires_on: "tomorrow" },
    { name: "x", scopes: ["admin"], expires_on: "2001-01-01T00:00:00Z" },
    { name: "x", scopes: ["queues:read"], queues: [] },
  ]) {
    assert.equal(refusal(await harness.call("POST", "/millrace/tokens", body)), "400 10026", JSON.stringify(body));
  }
});

test("control-plane changes are in the audit log with who and when", async () => {
  await using harness = await ApiHarness.open();
  const { value: token } = await harness.must<Token>("POST", "/millrace/tokens", {
    name: "ci",
    scopes: ["queues:write"],
  });
  const { queue_id } = (await harness.call("POST", "/queues", { queue_name: "q" }, { token })).result as {
    queue_id: string;
  };
  await harness.call("POST", `/queues/${queue_id}/consumers`, { type: "http_pull" }, { token });
  await harness.must("POST", `/queues/${queue_id}/messages`, { body: 1 });
  await harness.must("DELETE", `/queues/${queue_id}`);
  interface Entry {
    readonly number: number;
    readonly action: string;
    readonly actor: string;
    readonly resource: string;
    readonly when: string;
  }
  const entries = await harness.must<Entry[]>("GET", "/millrace/audit?limit=10");
  assert.deepEqual(
    entries.map(({ action, actor, resource }) => `${actor}: ${action} ${resource}`),
    ["administrator: DeleteQueue q", "ci: AttachConsumer q", "ci: CreateQueue q", "administrator: CreateToken ci"],
  );
  const older = await harness.must<Entry[]>("GET", `/millrace/audit?before=${entries[1]?.number}`);
  assert.deepEqual(
    older.map(({ action }) => action),
    ["CreateQueue", "CreateToken"],
  );
  for (const query of ["limit=0", "limit=1001", "before=x"]) {
    assert.equal(refusal(await harness.call("GET", `/millrace/audit?${query}`)), "400 10026", query);
  }
});
