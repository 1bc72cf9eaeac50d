import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decideWindow, epochMs, seconds } from "../../src/core/index.ts";
import type { Readiness } from "../../src/core/index.ts";

const now = epochMs(50_000);
const window = { size: 10, timeout: seconds(5) };
const readiness = (fields: Partial<Readiness>): Readiness => ({
  ready: 0,
  readySince: undefined,
  nextDueAt: undefined,
  nextLeaseEndsAt: undefined,
  ...fields,
});

test("a full batch is delivered at once", () => {
  assert.deepEqual(decideWindow(readiness({ ready: 10, readySince: now }), window, now), { kind: "deliver" });
});

test("a batch that is not full waits until its first message has waited for the timeout", () => {
  const since = epochMs(now - 2_000);
  assert.deepEqual(decideWindow(readiness({ ready: 9, readySince: since }), window, now), {
    kind: "wait",
    at: now + 3_000,
  });
  assert.deepEqual(decideWindow(readiness({ ready: 9, readySince: since }), window, epochMs(now + 3_000)), {
    kind: "deliver",
  });
});

test("a timeout of 0 delivers whatever is there", () => {
  assert.deepEqual(decideWindow(readiness({ ready: 1, readySince: now }), { size: 10, timeout: seconds(0) }, now), {
    kind: "deliver",
  });
});

test("a delayed message that becomes due before the timeout is looked at then: it may fill the batch", () => {
  const due = epochMs(now + 1_000);
  assert.deepEqual(decideWindow(readiness({ ready: 9, readySince: now, nextDueAt: due }), window, now), {
    kind: "wait",
    at: due,
  });
});

test("an empty queue waits for its next delayed message, or for an arrival", () => {
  const due = epochMs(now + 60_000);
  assert.deepEqual(decideWindow(readiness({ nextDueAt: due }), window, now), { kind: "wait", at: due });
  assert.deepEqual(decideWindow(readiness({}), window, now), { kind: "wait", at: undefined });
});

test("never an empty batch, and never a wait that has passed", () => {
  fc.assert(
    fc.property(
      fc.nat(200),
      fc.nat(100_000),
      fc.option(fc.integer({ min: 1, max: 100_000 })),
      fc.nat(60),
      (ready, age, due, timeout) => {
        const state = readiness({
          ready,
          readySince: ready > 0 ? epochMs(now - age) : undefined,
          nextDueAt: due === null ? undefined : epochMs(now + due),
        });
        const decision = decideWindow(state, { size: 10, timeout: seconds(timeout) }, now);
        if (decision.kind === "deliver") assert.ok(ready > 0);
        else if (decision.at !== undefined) assert.ok(decision.at > now);
        else assert.equal(ready, 0);
      },
    ),
  );
});
