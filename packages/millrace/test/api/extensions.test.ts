// What Millrace has beyond Cloudflare: explain, intake limits, hosted Workers.
import assert from "node:assert/strict";
import { test } from "node:test";

import { ApiHarness, refusal } from "./api-harness.ts";
import { uploadWorker } from "./upload.ts";

test("explain says why nothing is moving and what to do", async () => {
  await using harness = await ApiHarness.open();
  const path = await harness.queue("orders");
  interface Explanation {
    readonly findings: readonly { readonly code: string; readonly remedy?: string }[];
  }
  const findings = async () => (await harness.must<Explanation>("GET", `/millrace${path}/explain`)).findings;
  assert.deepEqual(
    (await findings()).map(({ code }) => code),
    ["EMPTY"],
  );
  await harness.must("POST", `${path}/messages`, { body: 1 });
  const [finding] = await findings();
  assert.equal(finding?.code, "NO_CONSUMER");
  assert.match(finding.remedy ?? "", /queues\.consumers/);
});

test("intake limits are shown, changed and checked", async () => {
  await using harness = await ApiHarness.open();
  const path = `/millrace${await harness.queue("orders")}/limits`;
  assert.deepEqual(await harness.must("GET", path), { backlog_limit_bytes: 25_000_000_000, messages_per_second: null });
  const limits = { backlog_limit_bytes: 1_000_000, messages_per_second: 10 };
  assert.deepEqual(await harness.must("PATCH", path, limits), limits);
  assert.deepEqual(await harness.must("PATCH", path, { messages_per_second: null }), {
    ...limits,
    messages_per_second: null,
  });
  for (const body of [{ backlog_limit_bytes: 1 }, { messages_per_second: 0 }, { messages_per_second: "1" }, []]) {
    assert.equal(refusal(await harness.call("PATCH", path, body)), "400 100128", JSON.stringify(body));
  }
});

test("dead letters are moved back, to the queue they came from unless another one is named", async () => {
  await using harness = await ApiHarness.open();
  const [jobs, dead] = [await harness.queue("jobs"), await harness.queue("dead")];
  const redrive = async (body?: unknown) => await harness.call("POST", `/millrace${dead}/redrive`, body);
  assert.equal(refusal(await redrive()), "400 10026");
  await harness.must("POST", `${jobs}/consumers`, { type: "http_pull", dead_letter_queue: "dead" });
  await harness.must("POST", `${dead}/messages/batch`, { messages: [1, 2, 3].map((body) => ({ body })) });
  assert.deepEqual((await redrive({ max: 1 })).result, { target_queue: "jobs", moved: 1, backlog_count: 2 });
  assert.deepEqual((await redrive()).result, { target_queue: "jobs", moved: 2, backlog_count: 0 });
  await harness.queue("other");
  assert.deepEqual((await redrive({ target_queue: "other" })).result, {
    target_queue: "other",
    moved: 0,
    backlog_count: 0,
  });
  assert.equal((await harness.must<{ backlog_count: number }>("GET", `${jobs}/metrics`)).backlog_count, 3);
  for (const body of [{ max: 0 }, { max: 10_001 }, { max: "1" }, { target_queue: 7 }, { target_queue: "dead" }, []]) {
    assert.equal(refusal(await redrive(body)), "400 10026", JSON.stringify(body));
  }
  assert.equal(refusal(await redrive({ target_queue: "absent" })), "404 11000");
  assert.equal(refusal(await redrive({ target_queue: "not a name" })), "400 11003");

  const { value: token } = await harness.must<{ value: string }>("POST", "/millrace/tokens", {
    name: "dead only",
    scopes: ["queues:write"],
    queues: ["dead"],
  });
  assert.equal(refusal(await harness.call("POST", `/millrace${dead}/redrive`, {}, { token })), "403 10000");
});

test("a queue over its rate answers 429 and when to come back", async () => {
  await using harness = await ApiHarness.open();
  const path = await harness.queue("orders");
  await harness.must("PATCH", `/millrace${path}/limits`, { messages_per_second: 1 });
  await harness.must("POST", `${path}/messages`, { body: 1 });
  const replies = [];
  for (let count = 0; count < 5; count += 1) replies.push(await harness.call("POST", `${path}/messages`, { body: 1 }));
  const refused = replies.find(({ status }) => status !== 200);
  assert.ok(refused);
  assert.equal(refusal(refused), "429 10250");
  assert.equal(refused.headers["retry-after"], "1");
});

test("hosted Workers say how they are", async () => {
  await using harness = await ApiHarness.open();
  await uploadWorker(harness, "my-app");
  const [worker] = await harness.must<[Record<string, unknown>]>("GET", "/millrace/workers");
  assert.equal(worker["state"], "ready");
  assert.deepEqual(await harness.must("GET", "/millrace/workers/my-app"), worker);
  assert.equal(refusal(await harness.call("GET", "/millrace/workers/absent")), "404 10007");
});
