// What a resend looks through: whatever was sent, leased, settled and purged before, in whichever queue and however long ago, a
// message that is still in its queue is found, and no other.

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { milliseconds } from "../../src/core/index.ts";
import type { EpochMs, MessageId, NewMessage, QueueId } from "../../src/core/index.ts";
import { IdIndex } from "../../src/engines/sqlite/id-index.ts";
import { Harness, holderA } from "./harness.ts";
import { sqliteUnderTest } from "./sqlite-harness.ts";

const sqlite = sqliteUnderTest("sqlite", { foldBytes: 20_000 });

test("an index says where every id is, also where ids are alike", () => {
  const index = new IdIndex(1, 0 as EpochMs);
  const id = (number: number): Buffer => Buffer.from(number.toString(16).padStart(8, "0").padEnd(32, "0"), "hex");
  for (let number = 1; number <= 50_000; number += 1) index.add(id(number % 40_000), number);
  assert.equal(index.count, 50_000);
  for (let number = 1; number <= 50_000; number += 1) {
    assert.ok([...index.positionsOf(id(number % 40_000))].includes(number), String(number));
  }
  let wrong = 0;
  for (let number = 50_001; number <= 60_000; number += 1) wrong += [...index.positionsOf(id(number))].length;
  assert.ok(wrong < 10, `${wrong} of 10,000 ids that are not there look as if they were`);
});

type Step =
  | { readonly kind: "send"; readonly queue: number; readonly count: number }
  | { readonly kind: "resend"; readonly queue: number; readonly pick: number; readonly count: number }
  | { readonly kind: "consume"; readonly queue: number; readonly count: number; readonly acks: boolean }
  | { readonly kind: "wait"; readonly ms: number }
  | { readonly kind: "look" }
  | { readonly kind: "purge"; readonly queue: number };

const queueNumber = fc.nat(1);
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constant("send" as const), queue: queueNumber, count: fc.integer({ min: 1, max: 60 }) }),
  fc.record({
    kind: fc.constant("resend" as const),
    queue: queueNumber,
    pick: fc.nat(1_000),
    count: fc.integer({ min: 1, max: 40 }),
  }),
  fc.record({
    kind: fc.constant("consume" as const),
    queue: queueNumber,
    count: fc.integer({ min: 1, max: 50 }),
    acks: fc.boolean(),
  }),
  fc.record({ kind: fc.constant("wait" as const), ms: fc.constantFrom(1, 1_000, 50_000, 200_000) }),
  fc.constant<Step>({ kind: "look" }),
  fc.record({ kind: fc.constant("purge" as const), queue: queueNumber }),
);

test("a resend finds what its queue still holds, and stores the rest", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
      await using harness = await Harness.open(sqlite);
      const queues = [await harness.queue(), await harness.queue()] as const;
      const held = new Map<QueueId, Set<MessageId>>(queues.map((queue) => [queue, new Set()]));
      const sent: NewMessage[] = [];
      for (const each of steps) {
        if (each.kind === "wait") {
          harness.clock.advance(each.ms);
          continue;
        }
        if (each.kind === "look") {
          for (const queue of queues) await harness.engine.metrics(queue);
          continue;
        }
        const queue = queues[each.queue === 0 ? 0 : 1];
        const ids = held.get(queue) ?? new Set();
        if (each.kind === "send") {
          const messages = Array.from({ length: each.count }, () => harness.message("new"));
          await harness.engine.send(queue, messages);
          for (const { id } of messages) ids.add(id);
          sent.push(...messages);
        } else if (each.kind === "resend") {
          const from = sent.length === 0 ? 0 : each.pick % sent.length;
          const messages = [...sent.slice(from, from + each.count), harness.message("new")];
          const { known, backlog } = await harness.engine.send(queue, messages, { resend: true });
          assert.equal(known, messages.filter(({ id }) => ids.has(id)).length);
          for (const message of messages) {
            ids.add(message.id);
            // One that comes into a queue anew keeps its send time, which may be long ago.
            if (!sent.includes(message)) sent.push(message);
          }
          assert.equal(backlog.count, ids.size);
        } else if (each.kind === "consume") {
          const { messages } = await harness.engine.lease(queue, {
            max: Math.min(100, each.count),
            window: undefined,
            visibility: milliseconds(600_000),
            holder: holderA,
          });
          if (!each.acks) continue;
          await harness.engine.settle(queue, {
            each: messages.map(({ lease }) => ({ lease, decision: { kind: "ack" } })),
            whole: [],
          });
          for (const { id } of messages) ids.delete(id);
        } else {
          await harness.engine.purge(queue, undefined);
          ids.clear();
        }
      }
    }),
    { numRuns: 60 },
  );
});

test("more messages than a slice takes are looked through, and the index is let go in between", async () => {
  await using harness = await Harness.open(sqlite);
  const queue = await harness.queue();
  const messages = Array.from({ length: 25_000 }, () => harness.message("x"));
  for (let from = 0; from < messages.length; from += 5_000)
    await harness.engine.send(queue, messages.slice(from, from + 5_000));
  const again = async (from: number, count: number): Promise<number | undefined> =>
    (await harness.engine.send(queue, messages.slice(from, from + count), { resend: true })).known;
  assert.equal(await again(24_000, 1_000), 1_000);
  assert.equal(await again(0, 1_000), 1_000);
  harness.clock.advance(61_000);
  await harness.engine.metrics(queue);
  assert.equal(await again(12_000, 500), 500);
  assert.equal((await harness.engine.metrics(queue)).backlog.count, 25_000);
});
