import assert from "node:assert/strict";
import { test } from "node:test";
import { AcksTogether } from "../../src/broker/acks-together.ts";
import { Alarms } from "../../src/broker/alarms.ts";
import type { BatchId, SettleReceipt } from "../../src/core/index.ts";
import { SimulatedTime } from "../support/simulated-time.ts";
import { BrokerHarness } from "../support/broker-harness.ts";

const receipt: SettleReceipt = {
  done: 1,
  late: [],
  stale: [],
  backlog: { count: 0, bytes: 0, oldestSentAt: undefined },
  readiness: { ready: 0, readySince: undefined, nextDueAt: undefined, nextLeaseEndsAt: undefined },
};

function gathering(answer: () => Promise<SettleReceipt> = () => Promise.resolve(receipt)) {
  const time = new SimulatedTime();
  const settled: string[] = [];
  const settle = (batches: readonly BatchId[]): Promise<SettleReceipt> => {
    settled.push(batches.join(" "));
    return answer();
  };
  const alarms = new Alarms(time, time);
  const acks = new AcksTogether({ clock: time, alarms, alarmKey: "acks", settle });
  const add = async (batch: string): Promise<SettleReceipt> => await acks.add(batch as BatchId);
  return { time, settled, acks, add };
}

test("acknowledgements wait for each other until they are sent, and each hears what became of them", async () => {
  const { acks, add, settled } = gathering();
  const added = [add("a"), add("b")];
  assert.deepEqual(settled, []);
  acks.send();
  acks.send();
  assert.deepEqual(settled, ["a b"]);
  assert.deepEqual(await Promise.all(added), [receipt, receipt]);
});

test("eight of them go at once, and one alone after five milliseconds", async () => {
  const { add, settled, time } = gathering();
  const added = ["a", "b", "c", "d", "e", "f", "g", "h", "i"].map(add);
  assert.deepEqual(settled, ["a b c d e f g h"]);
  await time.advance(4);
  assert.equal(settled.length, 1);
  await time.advance(1);
  assert.deepEqual(settled, ["a b c d e f g h", "i"]);
  await Promise.all(added);
});

test("all of them hear of a settlement that failed, and the next is another", async () => {
  let isAway = true;
  const { acks, add, settled } = gathering(async () => {
    if (isAway) throw new Error("the disk is away");
    return await Promise.resolve(receipt);
  });
  const added = [add("a"), add("b")].map(async (each) => await assert.rejects(each, /the disk is away/));
  acks.send();
  await Promise.all(added);
  isAway = false;
  const next = add("c");
  acks.send();
  assert.equal(await next, receipt);
  assert.deepEqual(settled, ["a b", "c"]);
});

test("a quick handler's batches are settled several at once, all of them as soon as it has nothing left to do", async () => {
  await using harness = await BrokerHarness.open();
  const queue = await harness.queue("events");
  await harness.push(queue, { batch_size: 1, max_wait_time_ms: 0, max_concurrency: 1 });
  const settle = harness.engine.settle.bind(harness.engine);
  let settlements = 0;
  harness.engine.settle = async (...request) => {
    settlements += 1;
    return await settle(...request);
  };
  await harness.send(queue, ...Array.from({ length: 60 }, String));
  for (let turns = 0; turns < 10; turns += 1) await harness.time.settle();
  assert.equal((await harness.engine.metrics(queue.id)).backlog.count, 0, "without any time passing");
  assert.equal(harness.target.deliveries.length, 60);
  assert.ok(settlements <= 20, `${settlements} settlements`);
});
