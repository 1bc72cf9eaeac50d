// Bad input: the documented code, a remedy, nothing lost, no 500.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Server, temporaryFolder } from "../support/millrace.ts";

test("bad input is refused with its code and a remedy, and stores nothing", async () => {
  await using folder = await temporaryFolder();
  await using server = await Server.start(folder.path);
  const { queue_id: id } = await server.result<{ queue_id: string }>("POST", "/queues", { queue_name: "events" });
  const messages = `/queues/${id}/messages`;
  const missing = `/queues/${"0".repeat(32)}/messages`;

  const cases: readonly [what: string, status: number, code: number, path: string, body: unknown][] = [
    ["an invalid name", 400, 11_003, "/queues", { queue_name: "-not-valid-" }],
    ["a name that is taken", 409, 11_009, "/queues", { queue_name: "events" }],
    ["malformed JSON", 400, 10_208, messages, "{"],
    ["JSON of the wrong shape", 400, 10_207, `${messages}/batch`, { messages: "none" }],
    ["a body over 128,000 bytes", 413, 10_204, messages, { body: "x".repeat(128_001), content_type: "text" }],
    ["a delay of -1", 400, 10_203, messages, { body: 1, delay_seconds: -1 }],
    ["a delay of 86401", 400, 10_203, messages, { body: 1, delay_seconds: 86_401 }],
    ["101 messages", 413, 10_206, `${messages}/batch`, { messages: Array.from({ length: 101 }, () => ({ body: 1 })) }],
    ["an unknown queue", 404, 10_104, missing, { body: 1 }],
    ["an unknown route", 404, 7003, "/nothing/here", {}],
  ];
  for (const [what, status, code, path, body] of cases) {
    const answer = await server.api("POST", path, body);
    const [error] = answer.body.errors;
    assert.deepEqual([answer.status, error?.code, answer.body.success], [status, code, false], what);
    assert.match(error?.message ?? "", /\. ?[A-Z`].*\.$/s, `${what}: says what is wrong and what to do`);
  }
  const stranger = await server.api("POST", messages, { body: 1 }, { authorization: "Bearer wrong" });
  assert.ok([401, 403].includes(stranger.status));
  assert.equal(stranger.body.errors[0]?.code, 10_000);

  const metrics = await server.result<{ backlog_count: number }>("GET", `/queues/${id}/metrics`);
  assert.equal(metrics.backlog_count, 0);
});
