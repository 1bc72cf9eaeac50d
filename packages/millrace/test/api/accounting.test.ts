// Where every message of a queue went, over REST.
import assert from "node:assert/strict";
import { test } from "node:test";

import type { AccountingView } from "../../src/contract/rest/index.ts";
import type { StorageEngine } from "../../src/core/index.ts";
import { ApiHarness, refusal } from "./api-harness.ts";

test("accounting tells what became of every message, by counters or by reading them all", async () => {
  await using harness = await ApiHarness.open();
  const path = await harness.queue("orders");
  await harness.must("POST", `${path}/consumers`, { type: "http_pull" });
  await harness.must("POST", `${path}/messages/batch`, { messages: [1, 22, 333].map((body) => ({ body })) });
  const { messages } = await harness.must<{ messages: { lease_id: string }[] }>("POST", `${path}/messages/pull`, {
    batch_size: 2,
  });
  await harness.must("POST", `${path}/messages/ack`, { acks: [{ lease_id: messages[0]?.lease_id }] });
  const counted = {
    queue_name: "orders",
    accepted: 3,
    backlog_count: 2,
    backlog_bytes: 5,
    held: 2,
    acked: 1,
    dead_lettered: 0,
    expired: 0,
    purged: 0,
    dropped: 0,
    imbalance: 0,
    holds: true,
    findings: [],
  };
  assert.deepEqual(await harness.must("GET", `/millrace${path}/accounting`), counted);
  assert.deepEqual(await harness.must("GET", `/millrace${path}/accounting?deep=true`), {
    ...counted,
    recount: { stored_count: 2, stored_bytes: 5, stranded: 0, missing: 0, doubled: 0, unreadable: 0 },
  });
  assert.equal(refusal(await harness.call("GET", `/millrace${path}/accounting?deep=yes`)), "400 10026");
  assert.equal(refusal(await harness.call("GET", `/millrace/queues/${"f".repeat(32)}/accounting`)), "404 11000");
});

test("what a recount finds wrong is told to who asks and to who reads the log", async () => {
  await using harness = await ApiHarness.open();
  const path = await harness.queue("orders");
  const { engine } = harness;
  const verify: StorageEngine["verify"] = engine.verify.bind(engine);
  engine.verify = async (queue, proceed) => {
    const recount = await verify(queue, proceed);
    return recount === undefined ? undefined : { ...recount, missing: 2 };
  };
  const view = await harness.must<AccountingView>("GET", `/millrace${path}/accounting?deep=true`);
  assert.equal(view.holds, false);
  assert.deepEqual(
    view.findings.map(({ code }) => code),
    ["MISSING"],
  );
  assert.match(view.findings[0]?.remedy ?? "", /backup/);
  assert.equal(harness.log.events.at(-1)?.event, "conservation.violated");
});
