import assert from "node:assert/strict";
import { test } from "node:test";
import { Conservation } from "../../src/broker/index.ts";
import { MillraceError } from "../../src/core/index.ts";
import type { QueueMetrics, StorageEngine } from "../../src/core/index.ts";
import { BrokerHarness, recordingLogger } from "../support/broker-harness.ts";

/** The engine, but what it counts of a queue may be wrong. */
function miscounting(engine: StorageEngine): {
  readonly engine: StorageEngine;
  readonly wrong: Map<string, Partial<QueueMetrics>>;
  readonly asked: string[];
} {
  const wrong = new Map<string, Partial<QueueMetrics>>();
  const asked: string[] = [];
  const metrics: StorageEngine["metrics"] = async (queue) => {
    asked.push(queue);
    return { ...(await engine.metrics(queue)), ...wrong.get(queue) };
  };
  return { engine: Object.assign(Object.create(engine) as StorageEngine, { metrics }), wrong, asked };
}

test("nothing is said while everything adds up", async () => {
  await using harness = await BrokerHarness.open();
  const queue = await harness.queue("events");
  await harness.send(queue, "a", "b");
  const { engine, asked } = miscounting(harness.engine);
  const { controlPlane, time: clock } = harness;
  const logger = recordingLogger();
  await using _ = new Conservation({ engine, controlPlane, clock, timers: clock, logger });
  await clock.advance(60_000);
  assert.deepEqual(logger.events, []);
  assert.ok(asked.length > 10);
});

test("a violation is said at the start, with all numbers, again when it changes, and every hour", async () => {
  await using harness = await BrokerHarness.open();
  const queue = await harness.queue("events");
  await harness.send(queue, "a", "b", "c");
  const { engine, wrong } = miscounting(harness.engine);
  wrong.set(queue.id, { held: 2 });
  const { controlPlane, time: clock } = harness;
  const logger = recordingLogger();
  await using _ = new Conservation({ engine, controlPlane, clock, timers: clock, logger });
  await clock.settle();
  const [violation] = logger.events;
  assert.deepEqual([violation?.level, violation?.event], ["error", "conservation.violated"]);
  const { problem, remedy, ...numbers } = violation?.fields ?? {};
  assert.match(
    String(problem),
    /^accepted messages unaccounted for: 1 \(3 accepted; 2 held .*; backlog as counted: 3; messages ready/,
  );
  assert.match(String(remedy), /millrace doctor --deep/);
  const gone = { acked: 0, deadLettered: 0, expired: 0, purged: 0, dropped: 0 };
  assert.deepEqual(numbers, { queue: "events", imbalance: 1, backlog: 3, held: 2, accepted: 3, ...gone });

  await clock.advance(30 * 60_000);
  assert.equal(logger.events.length, 1, "it is not said again and again");
  wrong.set(queue.id, { held: 1 });
  await clock.advance(10_000);
  assert.equal(logger.events.length, 2, "it is said when it gets worse");
  await clock.advance(61 * 60_000);
  assert.equal(logger.events.length, 3, "it is said again after an hour");
  wrong.clear();
  await clock.advance(10_000);
  wrong.set(queue.id, { held: 1 });
  await clock.advance(10_000);
  assert.equal(logger.events.length, 4, "what was well in between is said anew");
});

test("every queue is looked at at the start and then in turn, few at a time", async () => {
  await using harness = await BrokerHarness.open();
  for (let number = 0; number < 150; number += 1) await harness.queue(`queue-${number}`);
  const { engine, asked } = miscounting(harness.engine);
  const { controlPlane, time: clock } = harness;
  await using _ = new Conservation({ engine, controlPlane, clock, timers: clock, logger: recordingLogger() });
  await clock.settle();
  assert.equal(new Set(asked).size, 150);
  asked.length = 0;
  await clock.advance(5_000);
  assert.equal(asked.length, 64);
  await clock.advance(10_000);
  assert.equal(new Set(asked).size, 150);
});

test("a store that does not answer is told of, and asked again", async () => {
  await using harness = await BrokerHarness.open();
  await harness.queue("events");
  let failing = true;
  let answered = 0;
  const metrics: StorageEngine["metrics"] = async (queue) => {
    if (failing) throw new MillraceError("UNAVAILABLE", "The disk is busy");
    answered += 1;
    return await harness.engine.metrics(queue);
  };
  const engine = Object.assign(Object.create(harness.engine) as StorageEngine, { metrics });
  const { controlPlane, time: clock } = harness;
  const logger = recordingLogger();
  const conservation = new Conservation({ engine, controlPlane, clock, timers: clock, logger });
  await clock.settle();
  assert.deepEqual(
    logger.events.map(({ event }) => event),
    ["conservation.check_failed"],
  );
  failing = false;
  await clock.advance(5_000);
  assert.equal(answered, 1);
  await conservation[Symbol.asyncDispose]();
  await clock.advance(60_000);
  assert.equal(answered, 1, "it looks no more once it is stopped");
});
