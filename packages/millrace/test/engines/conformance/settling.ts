// What an engine promises to who settles: atomic decisions, partial acks, late and stale leases, dead letters.

import assert from "node:assert/strict";
import { test } from "node:test";
import { isMillraceError, minutes, seconds } from "../../../src/core/index.ts";
import type { BatchId, LeaseId, QueueId, Readiness } from "../../../src/core/index.ts";
import type { EngineUnderTest } from "../harness.ts";
import { at, bodiesOf, first, Harness, texts } from "../harness.ts";

export function settlingConformance(engine: EngineUnderTest): void {
  test(`${engine.name}: a whole batch is acknowledged at once, and only once`, async () => {
    await using harness = await Harness.open(engine);
    const queue = await harness.queue();
    await harness.send(queue, ...texts(3));
    const { batch, messages } = await harness.lease(queue, 3);
    const receipt = await harness.settleWhole(queue, batch, "ack");
    assert.deepEqual([receipt.done, receipt.late, receipt.stale], [3, [], []]);
    assert.deepEqual(receipt.backlog, { count: 0, bytes: 0, oldestSentAt: undefined });
    assert.equal(receipt.readiness.nextLeaseEndsAt, undefined);
    assert.equal((await harness.settleWhole(queue, batch, "ack")).done, 0);
    const again = await harness.settle(queue, [first(messages), "ack"]);
    assert.deepEqual([again.done, again.late, again.stale], [0, [], [first(messages).lease]]);
    assert.equal((await harness.accounting(queue)).acked, 3);
  });

  test(`${engine.name}: single decisions go before the one for the whole batch`, async () => {
    await using harness = await Harness.open(engine);
    const queue = await harness.queue();
    const graveyard = await harness.queue();
    await harness.send(queue, ...texts(6));
    const { batch, messages } = await harness.lease(queue, 6);
    const [retried, delayed, dead, dropped, released] = messages.map(({ lease }) => ({ lease }));
    assert.ok(retried && delayed && dead && dropped && released && batch);
    const visibleAt = harness.clock.in(5_000);
    const receipt = await harness.checked(
      harness.engine.settle(queue, {
        each: [
          { ...retried, decision: { kind: "retry", visibleAt: undefined } },
          { ...delayed, decision: { kind: "retry", visibleAt } },
          { ...dead, decision: { kind: "deadLetter", queue: graveyard } },
          { ...dropped, decision: { kind: "drop" } },
          { ...released, decision: { kind: "release" } },
        ],
        whole: [{ batch, decision: { kind: "ack" } }],
      }),
    );
    assert.deepEqual([receipt.done, receipt.late, receipt.stale], [6, [], []]);
    assert.equal(receipt.backlog.count, 3);
    assert.equal(receipt.readiness.ready, 2);
    assert.equal(receipt.readiness.nextDueAt, visibleAt);
    assert.deepEqual(await harness.accounting(queue), {
      accepted: 6,
      acked: 1,
      deadLettered: 1,
      expired: 0,
      purged: 0,
      dropped: 1,
    });
    assert.deepEqual(await harness.stored(graveyard), ["m2"]);
    const again = await harness.lease(queue, 10);
    assert.deepEqual(
      new Map(again.messages.map(({ body, attempts }) => [new TextDecoder().decode(body), attempts])),
      new Map([
        ["m0", 2],
        ["m4", 1],
      ]),
    );
  });

  test(`${engine.name}: a batch settled in parts keeps what is left, at its old end`, async () => {
    await using harness = await Harness.open(engine);
    const queue = await harness.queue();
    await harness.send(queue, ...texts(10));
    const { batch, messages } = await harness.lease(queue, 10, { visibility: seconds(30) });
    await harness.settle(queue, [at(messages, 3), "ack"], [at(messages, 0), "ack"]);
    await harness.settle(queue, [at(messages, 9), "ack"]);
    const { readiness, backlog } = await harness.settle(queue, [at(messages, 5), "retry"]);
    assert.equal(backlog.count, 7);
    assert.equal(readiness.ready, 1);
    harness.clock.advance(30_000);
    assert.deepEqual(
      new Set((await harness.engine.expiredLeases(queue, 100)).map(({ id }) => id)),
      new Set([1, 2, 4, 6, 7, 8].map((index) => at(messages, index).id)),
    );
    assert.equal((await harness.settleWhole(queue, batch, "ack")).done, 6);
    assert.deepEqual(await harness.stored(queue), ["m5"]);
  });

  test(`${engine.name}: bytes are counted message by message`, async () => {
    await using harness = await Harness.open(engine);
    const queue = await harness.queue();
    await harness.send(queue, "1", "22", "333", "4444");
    const { messages } = await harness.lease(queue, 4);
    assert.equal((await harness.settle(queue, [at(messages, 1), "ack"])).backlog.bytes, 8);
    assert.equal((await harness.settle(queue, [at(messages, 3), "retry"])).backlog.bytes, 8);
    assert.equal((await harness.settle(queue, [at(messages, 0), "drop"])).backlog.bytes, 7);
    await harness.settle(queue, [await harness.leaseOne(queue), "ack"]);
    assert.equal((await harness.backlog(queue)).bytes, 3);
  });

  test(`${engine.name}: a retry with a delay waits for it, one without is ready at once`, async () => {
    await using harness = await Harness.open(engine);
    const queue = await harness.queue();
    await harness.send(queue, "a");
    await harness.settle(queue, [
      await harness.leaseOne(queue),
      { kind: "retry", visibleAt: harness.clock.in(10_000) },
    ]);
    const { messages, readiness } = await harness.lease(queue, 1);
    assert.deepEqual(messages, []);
    assert.equal(readiness.nextDueAt, harness.clock.in(10_000));
    harness.clock.advance(10_000);
    const second = await harness.leaseOne(queue);
    assert.equal(second.attempts, 2);
    const { readiness: after } = await harness.settle(queue, [second, "retry"]);
    assert.deepEqual([after.ready, after.readySince], [1, harness.clock.now()]);
  });

  test(`${engine.name}: settling one lease twice in a request applies the first decision`, async () => {
    await using harness = await Harness.open(engine);
    const queue = await harness.queue();
    await harness.send(queue, "a");
    const leased = await harness.leaseOne(queue);
    const receipt = await harness.settle(queue, [leased, "ack"], [leased, "retry"]);
    assert.deepEqual([receipt.done, receipt.stale], [1, [leased.lease]]);
    assert.equal((await harness.backlog(queue)).count, 0);
  });

  test(`${engine.name}: an ack whose lease has ended counts while the message is still stored`, async () => {
    await using harness = await Harness.open(engine);
    const queue = await harness.queue();
    await harness.send(queue, "waiting", "delayed", "held by another");
    const { messages } = await harness.lease(queue, 3);
    const [waiting, delayed, held] = messages;
    assert.ok(waiting && delayed && held);
    await harness.settle(queue, [held, "retry"]);
    const other = await harness.leaseOne(queue);
    assert.equal(other.id, held.id);
    await harness.settle(queue, [waiting, "retry"], [delayed, { kind: "retry", visibleAt: harness.clock.in(60_000) }]);

    const receipt = await harness.settle(queue, [waiting, "ack"], [delayed, "ack"], [held, "ack"]);
    assert.equal(receipt.done, 3);
    assert.deepEqual(receipt.late, [waiting.lease, delayed.lease, held.lease]);
    assert.deepEqual(receipt.stale, []);
    assert.equal(receipt.backlog.count, 0);
    assert.equal(receipt.backlog.bytes, 0);
    assert.deepEqual(receipt.readiness, {
      ready: 0,
      readySince: undefined,
      nextDueAt: undefined,
      nextLeaseEndsAt: undefined,
    });
    assert.deepEqual((await harness.settle(queue, [other, "ack"])).stale, [other.lease]);
  });

  test(`${engine.name}: any other decision on an ended lease is stale and changes nothing`, async () => {
    await using harness = await Harness.open(engine);
    const queue = await harness.queue();
    const graveyard = await harness.queue();
    await harness.send(queue, "a");
    const old = await harness.leaseOne(queue);
    await harness.settle(queue, [old, "retry"]);
    const current = await harness.leaseOne(queue);
    const receipt = await harness.settle(
      queue,
      [old, "retry"],
      [old, "drop"],
      [old, "release"],
      [old, { kind: "deadLetter", queue: graveyard }],
    );
    assert.deepEqual([receipt.done, receipt.late, receipt.stale], [0, [], Array(4).fill(old.lease)]);
    assert.equal((await harness.backlog(graveyard)).count, 0);
    assert.equal((await harness.settle(queue, [current, "ack"])).done, 1);
  });

  test(`${engine.name}: leases of another queue and texts that are no leases are stale`, async () => {
    await using harness = await Harness.open(engine);
    const queue = await harness.queue();
    const other = await harness.queue();
    await harness.send(queue, "a");
    await harness.send(other, "b");
    const { batch, messages } = await harness.lease(queue, 1);
    const foreign = first(messages).lease;
    const nonsense = ["", "x", "1", "-", "1-1-1-1", "9999999999999999999999-1-1", "%00"] as LeaseId[];
    const receipt = await harness.checked(
      harness.engine.settle(other, {
        each: [foreign, ...nonsense].map((lease) => ({ lease, decision: { kind: "ack" } })),
        whole: [batch as BatchId, "nonsense" as BatchId].map((each) => ({ batch: each, decision: { kind: "ack" } })),
      }),
    );
    assert.equal(receipt.done, 0);
    assert.deepEqual(receipt.stale, [foreign, ...nonsense]);
    assert.equal((await harness.backlog(other)).count, 1);
    assert.equal((await harness.settle(queue, [{ lease: foreign }, "ack"])).done, 1);
  });

  test(`${engine.name}: a dead letter keeps id, send time, body and source, and starts again in the other queue`, async () => {
    await using harness = await Harness.open(engine);
    const queue = await harness.queue();
    const graveyard = await harness.queue();
    const sent = harness.message({ body: "dead", contentType: "json", source: "dash" });
    await harness.engine.send(queue, [sent]);
    harness.clock.advance(5_000);
    for (let attempt = 1; attempt <= 2; attempt += 1) {
      await harness.settle(queue, [await harness.leaseOne(queue), "retry"]);
    }
    const woken = Promise.withResolvers<Readiness | undefined>();
    harness.engine.onWake((id, readiness) => {
      if (id === graveyard) woken.resolve(readiness);
    });
    await harness.settle(queue, [await harness.leaseOne(queue), { kind: "deadLetter", queue: graveyard }]);
    assert.equal((await woken.promise)?.ready, 1);
    const dead = await harness.leaseOne(graveyard);
    assert.deepEqual(
      [dead.id, dead.sentAt, dead.contentType, dead.source, bodiesOf([dead]), dead.attempts],
      [sent.id, sent.sentAt, "json", "dash", ["dead"], 1],
    );
    assert.equal((await harness.backlog(queue)).count, 0);
    assert.equal((await harness.accounting(queue)).deadLettered, 1);
    const { accepted } = await harness.accounting(graveyard);
    assert.equal(accepted, 1);
    // Retention counts from its arrival here.
    await harness.settle(graveyard, [dead, "retry"]);
    assert.equal((await harness.engine.sweep(graveyard, harness.clock.now(), 10)).expired, 0);
    assert.equal((await harness.engine.sweep(graveyard, harness.clock.in(1), 10)).expired, 1);
  });

  test(`${engine.name}: a whole batch of dead letters moves in one step`, async () => {
    await using harness = await Harness.open(engine);
    const queue = await harness.queue();
    const graveyard = await harness.queue();
    await harness.send(queue, ...texts(20));
    const { batch } = await harness.lease(queue, 20);
    const { done } = await harness.settleWhole(queue, batch, { kind: "deadLetter", queue: graveyard });
    assert.equal(done, 20);
    assert.deepEqual(await harness.stored(graveyard), texts(20));
    assert.deepEqual(await harness.stored(queue), []);
  });

  test(`${engine.name}: a dead letter may go to the back of its own queue`, async () => {
    await using harness = await Harness.open(engine);
    const queue = await harness.queue();
    await harness.send(queue, "a");
    await harness.settle(queue, [await harness.leaseOne(queue), { kind: "deadLetter", queue }]);
    assert.equal((await harness.leaseOne(queue)).attempts, 1);
    const { accepted, deadLettered } = await harness.accounting(queue);
    assert.deepEqual([accepted, deadLettered], [2, 1]);
  });

  test(`${engine.name}: a dead letter to a queue that does not exist fails the whole request and changes nothing`, async () => {
    await using harness = await Harness.open(engine);
    const queue = await harness.queue();
    await harness.send(queue, "a", "b");
    const { batch, messages } = await harness.lease(queue, 2);
    await assert.rejects(
      harness.settle(
        queue,
        [at(messages, 0), "ack"],
        [at(messages, 1), { kind: "deadLetter", queue: harness.queueId() }],
      ),
      (error) => isMillraceError(error, "QUEUE_NOT_FOUND"),
    );
    await harness.checkLaw();
    assert.equal((await harness.settleWhole(queue, batch, "ack")).done, 2);
  });

  test(`${engine.name}: a retry wakes listeners`, async () => {
    await using harness = await Harness.open(engine);
    const queue = await harness.queue();
    await harness.send(queue, "a");
    const leased = await harness.leaseOne(queue);
    const woken = Promise.withResolvers<Readiness | undefined>();
    harness.engine.onWake((id: QueueId, readiness) => {
      if (id === queue) woken.resolve(readiness);
    });
    await harness.settle(queue, [leased, "retry"]);
    assert.equal((await woken.promise)?.ready, 1);
  });

  test(`${engine.name}: many batches settled at the same time by different consumers`, async () => {
    await using harness = await Harness.open(engine);
    const queue = await harness.queue();
    await harness.send(queue, ...texts(100));
    const batches = await Promise.all(Array.from({ length: 10 }, async () => await harness.lease(queue, 10)));
    await Promise.all(
      batches.map(async ({ batch, messages }, index) => {
        if (index % 2 === 0) await harness.settleWhole(queue, batch, "ack");
        else await harness.settle(queue, [first(messages), "ack"], [at(messages, 1), "retry"]);
      }),
    );
    const { backlog, readiness } = await harness.engine.metrics(queue);
    assert.equal(backlog.count, 45);
    assert.equal(readiness.ready, 5);
  });

  test(`${engine.name}: a message can be retried far more often than any consumer allows`, async () => {
    await using harness = await Harness.open(engine);
    const queue = await harness.queue();
    await harness.send(queue, "a");
    for (let delivery = 1; delivery <= 130; delivery += 1) {
      const { batch, messages } = await harness.engine.lease(queue, {
        max: 1,
        window: undefined,
        visibility: minutes(1),
        holder: (delivery % 2 === 0 ? "server:1" : "server:2") as never,
      });
      assert.equal(first(messages).attempts, delivery);
      await harness.engine.settle(queue, {
        each: [],
        whole: [{ batch: batch as BatchId, decision: { kind: "retry", visibleAt: undefined } }],
      });
    }
    await harness.checkLaw();
  });
}
