// Dead letters go back to a queue, each of them once and none lost, whatever else goes on.
import assert from "node:assert/strict";
import { test } from "node:test";
import { redrive, redriveTarget } from "../../src/broker/index.ts";
import { isMillraceError, milliseconds, MillraceError } from "../../src/core/index.ts";
import type { QueueRecord } from "../../src/core/index.ts";
import { BrokerHarness, done, textOf, threw } from "../support/broker-harness.ts";

async function move(harness: BrokerHarness, from: QueueRecord, to: QueueRecord, max = 1_000): Promise<string> {
  const { moved, left } = await redrive(harness, { from: from.id, to: to.id, max });
  return `${moved} moved, ${left} left`;
}

const stored = async ({ engine }: BrokerHarness, { id }: QueueRecord): Promise<string[]> =>
  (await engine.peek(id, { max: 100 })).map((message) => `${textOf(message)}#${message.attempts}`);

test("a dead letter comes back with its id and send time, and its attempts begin again", async () => {
  await using harness = await BrokerHarness.open();
  const [jobs, dead] = [await harness.queue("jobs"), await harness.queue("dead")];
  await harness.push(jobs, { max_retries: 1, max_wait_time_ms: 0 }, "dead");
  harness.target.handler = threw;
  await harness.send(jobs, "a");
  await harness.time.advance(60_000);
  const [before] = await harness.engine.peek(dead.id, { max: 1 });
  assert.deepEqual(await stored(harness, dead), ["a#0"]);

  harness.target.handler = () => done();
  assert.equal(redriveTarget(harness.controlPlane.view, dead).id, jobs.id);
  assert.equal(await move(harness, dead, jobs), "1 moved, 0 left");
  await harness.time.settle();
  const again = harness.target.deliveries.at(-1)?.messages[0];
  assert.deepEqual([again?.id, again?.sentAt, again?.attempts], [before?.id, before?.sentAt, 1]);
});

test("more than a slice is moved, oldest first, no more than asked for", async () => {
  await using harness = await BrokerHarness.open();
  const [jobs, dead] = [await harness.queue("jobs"), await harness.queue("dead")];
  for (let slice = 0; slice < 3; slice += 1) {
    await harness.send(dead, ...Array.from({ length: 90 }, (_, index) => `${slice * 90 + index}`));
    await harness.time.advance(1);
  }
  assert.equal(await move(harness, dead, jobs, 5), "5 moved, 265 left");
  assert.deepEqual(await stored(harness, jobs), ["0#0", "1#0", "2#0", "3#0", "4#0"]);
  assert.equal(await move(harness, dead, jobs, 205), "205 moved, 60 left");
  assert.equal(await move(harness, dead, jobs), "60 moved, 0 left");
  assert.equal(await move(harness, dead, jobs), "0 moved, 0 left");
  assert.equal((await harness.engine.metrics(jobs.id)).backlog.count, 270);
});

test("a paused queue is no obstacle; what is delayed or with a consumer stays", async () => {
  await using harness = await BrokerHarness.open();
  const [jobs, dead] = [
    await harness.queue("jobs", { paused: true }),
    await harness.queue("dead", { deliveryDelaySeconds: 60 }),
  ];
  await harness.pull(dead);
  await harness.send(dead, "held", "ready");
  await harness.time.advance(60_000);
  const [held] = (await harness.broker.pulls.pull(dead.id, { batchSize: 1, visibility: milliseconds(30_000) }))
    .messages;
  await harness.send(dead, "delayed");
  assert.equal(await move(harness, dead, jobs), "1 moved, 2 left");
  assert.deepEqual(await stored(harness, jobs), ["ready#0"]);
  assert.equal((await harness.broker.pulls.ack(dead.id, { acks: [held?.lease ?? ""], retries: [] })).acked, 1);
});

test("a store that fails in between loses nothing, and a restart gives back what was on its way", async () => {
  await using harness = await BrokerHarness.open();
  const [jobs, dead] = [await harness.queue("jobs"), await harness.queue("dead")];
  await harness.pull(dead, { max_retries: 0 });
  await harness.send(dead, "a", "b");
  const settle = harness.engine.settle.bind(harness.engine);
  const unavailable = new MillraceError("UNAVAILABLE", "the disk is slow");

  harness.engine.settle = async (queue, request) => {
    if (request.whole[0]?.decision.kind === "deadLetter") throw unavailable;
    return await settle(queue, request);
  };
  await assert.rejects(move(harness, dead, jobs), unavailable);
  assert.deepEqual(await stored(harness, dead), ["a#0", "b#0"]);

  const unknown = new MillraceError("UNKNOWN_OUTCOME", "the disk did not answer");
  harness.engine.settle = async (queue, request) => {
    const receipt = await settle(queue, request);
    if (request.whole[0]?.decision.kind === "deadLetter") throw unknown;
    return receipt;
  };
  await assert.rejects(move(harness, dead, jobs), unknown);
  assert.deepEqual([await stored(harness, dead), await stored(harness, jobs)], [[], ["a#0", "b#0"]]);

  harness.engine.settle = async () => await Promise.reject(new MillraceError("ENGINE_CLOSED", "the server stops"));
  await assert.rejects(move(harness, jobs, dead));
  harness.engine.settle = settle;
  await harness.broker.stop();
  await harness.startBroker();
  assert.deepEqual(await stored(harness, jobs), ["a#0", "b#0"]);
});

test("what makes no sense is refused, and so is a target that is full", async () => {
  await using harness = await BrokerHarness.open();
  const { controlPlane } = harness;
  const [jobs, dead] = [await harness.queue("jobs"), await harness.queue("dead")];
  const code = async (work: () => unknown): Promise<string> => {
    try {
      await work();
      return "done";
    } catch (error) {
      return isMillraceError(error) ? error.code : String(error);
    }
  };
  assert.equal(await code(async () => await move(harness, dead, dead)), "REQUEST_INVALID");
  assert.equal(await code(() => redriveTarget(controlPlane.view, dead)), "REQUEST_INVALID");
  await harness.pull(jobs, {}, "dead");
  await harness.pull(await harness.queue("other"), {}, "dead");
  assert.equal(await code(() => redriveTarget(controlPlane.view, dead)), "REQUEST_INVALID");

  await harness.send(dead, "a");
  const metrics = harness.engine.metrics.bind(harness.engine);
  harness.engine.metrics = async (queue) => {
    const survey = await metrics(queue);
    const full = queue === jobs.id && { backlog: { ...survey.backlog, bytes: jobs.backlog_limit_bytes } };
    return { ...survey, ...full };
  };
  assert.equal(await code(async () => await move(harness, dead, jobs)), "BACKLOG_FULL");
  assert.deepEqual(await stored(harness, dead), ["a#0"]);
});
