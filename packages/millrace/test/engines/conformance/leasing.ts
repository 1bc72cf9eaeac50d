// What an engine promises to who leases: distinct messages, windows, ends of leases, holders, slots.

import assert from "node:assert/strict";
import { test } from "node:test";
import { milliseconds, minutes, pullHolder, seconds } from "../../../src/core/index.ts";
import type { LeaseId } from "../../../src/core/index.ts";
import type { EngineUnderTest } from "../harness.ts";
import { at, bodiesOf, first, Harness, holderA, holderB, texts } from "../harness.ts";

export function leasingConformance(engine: EngineUnderTest): void {
  test(`${engine.name}: leases come in order of arrival, at most as many as wanted, and hide their messages`, async () => {
    await using harness = await Harness.open(engine);
    const queue = await harness.queue();
    await harness.send(queue, ...texts(5));
    const one = await harness.lease(queue, 3);
    const two = await harness.lease(queue, 3);
    const three = await harness.lease(queue, 3);
    assert.deepEqual(bodiesOf(one.messages), ["m0", "m1", "m2"]);
    assert.deepEqual(bodiesOf(two.messages), ["m3", "m4"]);
    assert.deepEqual(three.messages, []);
    assert.equal(three.batch, undefined);
    assert.equal(one.readiness.ready, 2);
    assert.equal(two.readiness.ready, 0);
    assert.equal(two.backlog.count, 5);
    assert.equal(two.readiness.nextLeaseEndsAt, harness.clock.in(60_000));
    const leases = new Set([...one.messages, ...two.messages].map(({ lease }) => lease));
    assert.equal(leases.size, 5);
    for (const lease of leases) assert.match(lease, /^[\x21-\x7e]{1,200}$/);
  });

  test(`${engine.name}: concurrent leases never share a message`, async () => {
    await using harness = await Harness.open(engine);
    const queue = await harness.queue();
    await harness.send(queue, ...texts(50));
    const batches = await Promise.all(Array.from({ length: 10 }, async () => await harness.lease(queue, 7)));
    const bodies = batches.flatMap(({ messages }) => bodiesOf(messages));
    assert.equal(bodies.length, 50);
    assert.equal(new Set(bodies).size, 50);
  });

  test(`${engine.name}: sends and leases at the same time neither lose nor double a message`, async () => {
    await using harness = await Harness.open(engine);
    const queue = await harness.queue();
    const got: string[] = [];
    await Promise.all([
      ...texts(100).map(async (text) => await harness.engine.send(queue, [harness.message(text)])),
      ...Array.from({ length: 20 }, async () => {
        got.push(...bodiesOf((await harness.lease(queue, 5)).messages));
      }),
    ]);
    for (
      let batch = await harness.lease(queue, 100);
      batch.messages.length > 0;
      batch = await harness.lease(queue, 100)
    ) {
      got.push(...bodiesOf(batch.messages));
    }
    assert.deepEqual(got.toSorted(), texts(100).toSorted());
  });

  test(`${engine.name}: the longest ready message goes first: retried ones wait behind those ready before them`, async () => {
    await using harness = await Harness.open(engine);
    const queue = await harness.queue();
    await harness.send(queue, "first", "second");
    const leased = await harness.leaseOne(queue);
    harness.clock.advance(10);
    await harness.settle(queue, [leased, "retry"]);
    harness.clock.advance(10);
    await harness.send(queue, "third");
    assert.deepEqual(bodiesOf((await harness.lease(queue, 10)).messages), ["second", "first", "third"]);
  });

  test(`${engine.name}: a window holds messages back until the batch is full or the timeout has passed`, async () => {
    await using harness = await Harness.open(engine);
    const queue = await harness.queue();
    const window = { size: 3, timeout: seconds(5) };
    await harness.send(queue, "a");
    harness.clock.advance(2_000);
    await harness.send(queue, "b");
    const early = await harness.lease(queue, 3, { window });
    assert.deepEqual(early.messages, []);
    assert.equal(early.readiness.ready, 2);
    assert.equal(early.readiness.readySince, harness.clock.in(-2_000));
    harness.clock.advance(2_999);
    assert.deepEqual((await harness.lease(queue, 3, { window })).messages, []);
    harness.clock.advance(1);
    assert.deepEqual(bodiesOf((await harness.lease(queue, 3, { window })).messages), ["a", "b"]);
    await harness.send(queue, "c", "d", "e", "f");
    assert.deepEqual(bodiesOf((await harness.lease(queue, 3, { window })).messages), ["c", "d", "e"]);
    assert.deepEqual((await harness.lease(queue, 3, { window })).messages, []);
  });

  test(`${engine.name}: a delayed message that becomes due fills a window`, async () => {
    await using harness = await Harness.open(engine);
    const queue = await harness.queue();
    const window = { size: 2, timeout: minutes(1) };
    await harness.send(queue, { body: "delayed", visibleAt: harness.clock.in(1_000) }, "now");
    assert.deepEqual((await harness.lease(queue, 2, { window })).messages, []);
    harness.clock.advance(1_000);
    assert.deepEqual(bodiesOf((await harness.lease(queue, 2, { window })).messages).toSorted(), ["delayed", "now"]);
  });

  test(`${engine.name}: a lease that has ended stays leased until it is settled, and is reported`, async () => {
    await using harness = await Harness.open(engine);
    const queue = await harness.queue();
    await harness.send(queue, "a", "b");
    const a = await harness.leaseOne(queue, { visibility: seconds(30) });
    const b = await harness.leaseOne(queue, { visibility: seconds(10) });
    assert.deepEqual(await harness.engine.expiredLeases(queue, 10), []);
    harness.clock.advance(10_000);
    const expected = { lease: b.lease, id: b.id, attempts: 1 };
    assert.deepEqual(await harness.engine.expiredLeases(queue, 10), [expected]);
    harness.clock.advance(20_000);
    assert.deepEqual(
      (await harness.engine.expiredLeases(queue, 10)).map(({ id }) => id),
      [b.id, a.id],
    );
    assert.deepEqual(await harness.engine.expiredLeases(queue, 1), [expected]);
    const { messages, readiness } = await harness.lease(queue, 10);
    assert.deepEqual(messages, []);
    assert.equal(readiness.nextLeaseEndsAt, harness.clock.in(-20_000));
    // Whoever held it may still settle it: nobody decided otherwise yet.
    const receipt = await harness.settle(queue, [a, "ack"], [b, "retry"]);
    assert.deepEqual([receipt.done, receipt.late, receipt.stale], [2, [], []]);
    assert.deepEqual(await harness.engine.expiredLeases(queue, 10), []);
    assert.equal((await harness.leaseOne(queue)).attempts, 2);
  });

  test(`${engine.name}: a lease with no visibility ends at once`, async () => {
    await using harness = await Harness.open(engine);
    const queue = await harness.queue();
    await harness.send(queue, "a");
    const leased = await harness.leaseOne(queue, { visibility: milliseconds(0) });
    assert.deepEqual(
      (await harness.engine.expiredLeases(queue, 10)).map(({ lease }) => lease),
      [leased.lease],
    );
  });

  test(`${engine.name}: an extended lease ends later, message by message`, async () => {
    await using harness = await Harness.open(engine);
    const queue = await harness.queue();
    await harness.send(queue, "a", "b", "c");
    const { batch, messages } = await harness.lease(queue, 3, { visibility: seconds(10) });
    const [a, b, c] = messages.map(({ lease }) => lease) as [LeaseId, LeaseId, LeaseId];
    await harness.settle(queue, [{ lease: c }, "ack"]);
    const { stale } = await harness.engine.extend(queue, [a, c, "nonsense" as LeaseId], harness.clock.in(60_000));
    assert.deepEqual(stale, [c, "nonsense"]);
    harness.clock.advance(10_000);
    assert.deepEqual(
      (await harness.engine.expiredLeases(queue, 10)).map(({ lease }) => lease),
      [b],
    );
    await harness.engine.extend(queue, [b], harness.clock.in(30_000));
    assert.deepEqual(await harness.engine.expiredLeases(queue, 10), []);
    assert.equal((await harness.engine.metrics(queue)).readiness.nextLeaseEndsAt, harness.clock.in(30_000));
    assert.equal((await harness.settleWhole(queue, batch, "ack")).done, 2);
    assert.equal((await harness.backlog(queue)).count, 0);
    assert.equal((await harness.engine.metrics(queue)).readiness.nextLeaseEndsAt, undefined);
  });

  test(`${engine.name}: a lease may be shortened, to now as well`, async () => {
    await using harness = await Harness.open(engine);
    const queue = await harness.queue();
    await harness.send(queue, "a");
    const { lease } = await harness.leaseOne(queue);
    await harness.engine.extend(queue, [lease], harness.clock.now());
    assert.equal((await harness.engine.expiredLeases(queue, 10)).length, 1);
  });

  test(`${engine.name}: releasing a holder gives back everything it had, in all queues, without counting the attempt`, async () => {
    await using harness = await Harness.open(engine);
    const one = await harness.queue();
    const two = await harness.queue();
    await harness.send(one, "a", "b", "kept");
    await harness.send(two, "c");
    const twice = await harness.leaseOne(one, { holder: holderA });
    harness.clock.advance(1);
    await harness.settle(one, [twice, "retry"]);
    await harness.lease(one, 2, { holder: holderB });
    await harness.lease(one, 1, { holder: holderA });
    await harness.lease(two, 1, { holder: holderA });
    assert.deepEqual([...(await harness.engine.holders())].toSorted(), [holderA, holderB]);

    const woken = new Set<string>();
    const wakes = Promise.withResolvers<void>();
    harness.engine.onWake((queue) => {
      if (woken.add(queue).size === 2) wakes.resolve();
    });
    assert.equal(await harness.checked(harness.engine.releaseHolder(holderA)), 2);
    await wakes.promise;
    assert.deepEqual(await harness.engine.holders(), [holderB]);
    assert.equal(await harness.engine.releaseHolder(holderA), 0);

    const back = await harness.lease(one, 10);
    assert.deepEqual(
      back.messages.map(({ body, attempts }) => [new TextDecoder().decode(body), attempts]),
      [["a", 2]],
    );
    assert.equal((await harness.leaseOne(two)).attempts, 1);
  });

  test(`${engine.name}: leases of pull clients stay when a server's are released`, async () => {
    await using harness = await Harness.open(engine);
    const queue = await harness.queue();
    await harness.send(queue, "a");
    const pulled = await harness.leaseOne(queue, { holder: pullHolder });
    assert.equal(await harness.engine.releaseHolder(holderA), 0);
    assert.equal((await harness.settle(queue, [pulled, "ack"])).done, 1);
  });

  test(`${engine.name}: a released message is ready again at its old place`, async () => {
    await using harness = await Harness.open(engine);
    const queue = await harness.queue();
    const sentAt = harness.clock.now();
    await harness.send(queue, "a", "b");
    const { batch } = await harness.lease(queue, 2);
    harness.clock.advance(1_000);
    await harness.send(queue, "c");
    const { readiness } = await harness.settleWhole(queue, batch, "release");
    assert.equal(readiness.ready, 3);
    assert.equal(readiness.readySince, sentAt);
    const again = await harness.lease(queue, 3);
    assert.deepEqual(bodiesOf(again.messages), ["a", "b", "c"]);
    assert.deepEqual(
      again.messages.map(({ attempts }) => attempts),
      [1, 1, 1],
    );
  });

  test(`${engine.name}: attempts grow with every delivery`, async () => {
    await using harness = await Harness.open(engine);
    const queue = await harness.queue();
    await harness.send(queue, "a");
    for (let delivery = 1; delivery <= 5; delivery += 1) {
      const leased = await harness.leaseOne(queue);
      assert.equal(leased.attempts, delivery);
      await harness.settle(queue, [leased, "retry"]);
    }
  });

  test(`${engine.name}: slots are given up to the maximum, and again once released or lost`, async () => {
    await using harness = await Harness.open(engine);
    const queue = await harness.queue();
    const other = await harness.queue();
    const take = async (id = queue): ReturnType<typeof harness.engine.acquireSlot> =>
      await harness.engine.acquireSlot(id, holderA, 2, minutes(1));
    const one = await take();
    const two = await take();
    assert.ok(one !== undefined && two !== undefined);
    assert.equal(await take(), undefined);
    assert.ok((await take(other)) !== undefined);
    await one.release();
    await one.release();
    const three = await take();
    assert.ok(three !== undefined);
    assert.equal(await take(), undefined);
    harness.clock.advance(60_000);
    assert.ok((await take()) !== undefined);
    assert.ok((await take()) !== undefined);
    await two.release();
    await three.release();
    assert.equal(await take(), undefined, "a lost place is not freed a second time");
  });

  test(`${engine.name}: ten thousand messages come out in order of arrival, in batches of a hundred`, async () => {
    await using harness = await Harness.open(engine);
    const queue = await harness.queue();
    const other = await harness.queue();
    for (let batch = 0; batch < 100; batch += 1) {
      await Promise.all([
        harness.engine.send(
          queue,
          texts(100, `${batch}:`).map((text) => harness.message(text)),
        ),
        harness.engine.send(other, [harness.message("x")]),
      ]);
    }
    await harness.checkLaw();
    for (let batch = 0; batch < 100; batch += 1) {
      const leased = await harness.engine.lease(queue, {
        max: 100,
        window: undefined,
        visibility: minutes(1),
        holder: holderA,
      });
      assert.deepEqual(bodiesOf(leased.messages), texts(100, `${batch}:`));
      if (batch % 2 === 0) await harness.settleWhole(queue, leased.batch, "ack");
    }
    assert.equal((await harness.backlog(queue)).count, 5_000);
    assert.equal(first(await harness.engine.peek(queue, { max: 1 })).state, "leased");
    assert.equal(at(bodiesOf(await harness.engine.peek(queue, { max: 100 })), 0), "1:0");
  });
}
