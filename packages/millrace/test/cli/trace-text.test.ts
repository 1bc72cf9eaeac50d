// An invocation of a Worker as `millrace workers logs` prints it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { traceText } from "../../src/cli/trace-text.ts";

const text = (trace: object): string => traceText(JSON.stringify(trace)).replace(/^\d\d:\d\d:\d\d {2}/, "");

test("requests, batches and crons are named, with what the Worker printed", () => {
  const logs = [
    { level: "log", message: ["hello", { n: 1 }] },
    { level: "warn", message: ["odd"] },
  ];
  const request = { method: "POST", url: "http://my-app.localhost/signup?x=1" };
  assert.equal(
    text({ outcome: "ok", eventTimestamp: 0, event: { request, response: { status: 202 } }, logs, exceptions: [] }),
    'POST /signup 202  ok\n          hello {"n":1}\n          warn: odd',
  );
  assert.equal(text({ outcome: "ok", event: { queue: "events", batchSize: 10 } }), "queue events, 10 messages  ok");
  assert.equal(text({ outcome: "ok", event: { cron: "* * * * *" } }), "cron * * * * *  ok");
  assert.equal(text({ outcome: "ok", event: null }), "invoked  ok");
});

test("an exception shows its message once and its stack", () => {
  const frames = "    at queue (index.js:3:9)";
  const shown = "queue events, 1 message  exception\n          Error: boom\n              at queue (index.js:3:9)";
  for (const stack of [frames, `Error: boom\n${frames}`]) {
    const exceptions = [{ name: "Error", message: "boom", timestamp: 0, stack }];
    assert.equal(text({ outcome: "exception", event: { queue: "events", batchSize: 1 }, exceptions }), shown);
  }
});

test("what a Worker prints cannot move the cursor, and what is no trace is shown as it came", () => {
  assert.ok(!text({ outcome: "ok", logs: [{ level: "log", message: ["a\u001B[2J"] }] }).includes("\u001B"));
  assert.equal(traceText("not json"), "not json");
});
