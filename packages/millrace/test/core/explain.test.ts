import assert from "node:assert/strict";
import { test } from "node:test";
import { epochMs, explain } from "../../src/core/index.ts";
import type { FindingCode, QueueFacts } from "../../src/core/index.ts";

const now = epochMs(1_800_000_000_000);
const workerConsumer = {
  type: "worker",
  worker: "my-app",
  state: "ready",
  detail: undefined,
  batchSize: 10,
  maxWaitMs: 5_000,
  inFlight: 0,
  concurrencyTarget: 1,
  maxConcurrency: null,
  lastFailure: undefined,
  backingOffUntil: undefined,
} as const;

const facts = (fields: Partial<QueueFacts> = {}): QueueFacts => ({
  queue: "events",
  now,
  paused: false,
  backlog: { count: 3, bytes: 30, oldestSentAt: now },
  readiness: { ready: 3, readySince: epochMs(now - 60_000), nextDueAt: undefined, nextLeaseEndsAt: undefined },
  backlogLimitBytes: 1_000,
  consumer: workerConsumer,
  ...fields,
});

const delayed = { ready: 0, readySince: undefined, nextDueAt: epochMs(now + 1_000), nextLeaseEndsAt: undefined };
const leased = { ...delayed, nextDueAt: undefined, nextLeaseEndsAt: epochMs(now + 1_000) };
const waiting = { ready: 3, readySince: now, nextDueAt: undefined, nextLeaseEndsAt: undefined };

const cases: readonly [string, FindingCode, Partial<QueueFacts>][] = [
  ["an empty queue", "EMPTY", { backlog: { count: 0, bytes: 0, oldestSentAt: undefined } }],
  ["a paused queue", "PAUSED", { paused: true }],
  ["no consumer", "NO_CONSUMER", { consumer: { type: "none" } }],
  ["nobody pulls", "PULL_CONSUMER_IDLE", { consumer: { type: "http_pull" } }],
  ["a Worker that is not deployed", "WORKER_NOT_DEPLOYED", { consumer: { ...workerConsumer, state: "notDeployed" } }],
  ["a Worker that crashes", "WORKER_CRASHED", { consumer: { ...workerConsumer, state: "crashed", detail: "exit 1" } }],
  ["a Worker that starts", "WORKER_STARTING", { consumer: { ...workerConsumer, state: "starting" } }],
  [
    "a handler that fails",
    "HANDLER_FAILING",
    { consumer: { ...workerConsumer, lastFailure: { at: now, detail: "Error: mail is down" } } },
  ],
  ["all places taken", "AT_CONCURRENCY", { consumer: { ...workerConsumer, inFlight: 1 } }],
  [
    "deliveries that do not get through",
    "BACKING_OFF",
    { consumer: { ...workerConsumer, backingOffUntil: epochMs(now + 1) } },
  ],
  ["a batch that is not full", "WAITING_FOR_BATCH", { readiness: waiting }],
  ["delayed messages only", "ALL_DELAYED", { readiness: delayed }],
  ["leased messages only", "ALL_IN_FLIGHT", { readiness: leased }],
  ["a full backlog", "BACKLOG_FULL", { backlog: { count: 3, bytes: 1_000, oldestSentAt: now } }],
  ["nothing in the way", "MOVING", {}],
];

for (const [what, code, fields] of cases) {
  test(`explains ${what}`, () => {
    const findings = explain(facts(fields));
    assert.equal(findings[0]?.code, code);
    assert.ok(findings.every(({ text }) => text.endsWith(".") || text.includes(":")));
  });
}

test("names the failing handler's error and where to read on", () => {
  const [finding] = explain(
    facts({ consumer: { ...workerConsumer, lastFailure: { at: now, detail: "Error: mail is down" } } }),
  );
  assert.match(finding?.text ?? "", /my-app failed at 2027-01-15T.*mail is down/);
  assert.match(finding?.remedy ?? "", /millrace workers logs my-app/);
});
