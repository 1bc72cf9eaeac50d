// What an engine promises to who looks and cleans up: peek, purge, sweep, metrics, survey.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { MessageRef } from "../../../src/core/index.ts";
import type { EngineUnderTest } from "../harness.ts";
import { at, bodiesOf, first, Harness, holderB, texts } from "../harness.ts";

export function lookingConformance(engine: EngineUnderTest): void {
  test(`${engine.name}: peek shows every state, oldest first, and changes nothing`, async () => {
    await using harness = await Harness.open(engine);
    const queue = await harness.queue();
    await harness.send(queue, "leased", { body: "delayed", visibleAt: harness.clock.in(9_000) }, "retried", "ready");
    await harness.leaseOne(queue);
    await harness.settle(queue, [await harness.leaseOne(queue), "retry"]);
    const before = await harness.engine.metrics(queue);
    const peeked = await harness.engine.peek(queue, { max: 100 });
    assert.deepEqual(
      peeked.map(({ body, state, attempts, until }) => [new TextDecoder().decode(body), state, attempts, until]),
      [
        ["leased", "leased", 1, harness.clock.in(60_000)],
        ["delayed", "delayed", 0, harness.clock.in(9_000)],
        ["retried", "ready", 1, undefined],
        ["ready", "ready", 0, undefined],
      ],
    );
    for (const { ref } of peeked) assert.match(ref, /^[\x21-\x7e]{1,200}$/);
    assert.deepEqual(await harness.engine.metrics(queue), before);
    harness.clock.advance(9_000);
    assert.equal(at(await harness.engine.peek(queue, { max: 2 }), 1).state, "ready");
  });

  test(`${engine.name}: peek goes on behind a ref, one that is gone as well`, async () => {
    await using harness = await Harness.open(engine);
    const queue = await harness.queue();
    await harness.send(queue, ...texts(5));
    const page = await harness.engine.peek(queue, { max: 2 });
    assert.deepEqual(bodiesOf(page), ["m0", "m1"]);
    const behind = at(page, 1).ref;
    await harness.engine.purgeByRef(queue, [behind]);
    assert.deepEqual(bodiesOf(await harness.engine.peek(queue, { max: 2, after: behind })), ["m2", "m3"]);
    const { batch } = await harness.lease(queue, 4);
    assert.deepEqual(bodiesOf(await harness.engine.peek(queue, { max: 9, after: behind })), ["m2", "m3", "m4"]);
    await harness.settleWhole(queue, batch, "retry");
    assert.deepEqual(bodiesOf(await harness.engine.peek(queue, { max: 9, after: behind })), ["m2", "m3", "m4"]);
  });

  test(`${engine.name}: peek does not show what was acknowledged, purged or moved`, async () => {
    await using harness = await Harness.open(engine);
    const queue = await harness.queue();
    const graveyard = await harness.queue();
    await harness.send(queue, ...texts(4));
    const { messages } = await harness.lease(queue, 2);
    await harness.settle(queue, [at(messages, 0), "ack"], [at(messages, 1), { kind: "deadLetter", queue: graveyard }]);
    const [purged] = await harness.engine.peek(queue, { max: 1 });
    assert.ok(purged);
    await harness.engine.purgeByRef(queue, [purged.ref]);
    assert.deepEqual(await harness.stored(queue), ["m3"]);
    assert.deepEqual(await harness.engine.peek(await harness.queue(), { max: 5 }), []);
  });

  test(`${engine.name}: a purge deletes every message, whatever its state, and leaves later ones`, async () => {
    await using harness = await Harness.open(engine);
    const queue = await harness.queue();
    const neighbour = await harness.queue();
    await harness.send(neighbour, "kept");
    await harness.send(queue, "leased", "retried", "ready", { body: "delayed", visibleAt: harness.clock.in(9_000) });
    const { messages } = await harness.lease(queue, 2);
    await harness.settle(queue, [at(messages, 1), "retry"]);
    const start = await harness.engine.purge(queue, undefined);
    await harness.send(queue, "after");
    let { purged, more } = start;
    while (more) {
      const slice = await harness.checked(harness.engine.purge(queue, start.token));
      purged += slice.purged;
      more = slice.more;
    }
    assert.equal(purged, 4);
    assert.deepEqual(await harness.stored(queue), ["after"]);
    assert.deepEqual(await harness.stored(neighbour), ["kept"]);
    assert.equal((await harness.accounting(queue)).purged, 4);
    const receipt = await harness.settle(queue, [at(messages, 0), "ack"]);
    assert.deepEqual([receipt.done, receipt.stale], [0, [at(messages, 0).lease]]);
    assert.deepEqual(await harness.engine.holders(), []);
    harness.clock.advance(10_000);
    assert.deepEqual(bodiesOf((await harness.lease(queue, 10)).messages), ["after"]);
  });

  test(`${engine.name}: messages sent while a purge runs survive`, async () => {
    await using harness = await Harness.open(engine);
    const queue = await harness.queue();
    for (let batch = 0; batch < 10; batch += 1) await harness.send(queue, ...texts(100, "old"));
    const start = await harness.engine.purge(queue, undefined);
    let { purged, more } = start;
    const sends: Promise<unknown>[] = [];
    for (let round = 0; more || round < 3; round += 1) {
      sends.push(harness.send(queue, `new${round}`));
      const slice = await harness.engine.purge(queue, start.token);
      purged += slice.purged;
      more = slice.more;
    }
    await Promise.all(sends);
    assert.equal(purged, 1_000);
    assert.deepEqual(
      await harness.stored(queue),
      sends.map((_, index) => `new${index}`),
    );
    await harness.checkLaw();
  });

  test(`${engine.name}: purge by ref deletes single messages in any state, leased ones too`, async () => {
    await using harness = await Harness.open(engine);
    const queue = await harness.queue();
    const other = await harness.queue();
    await harness.send(other, "elsewhere");
    await harness.send(queue, "leased", "kept leased", "retried", {
      body: "delayed",
      visibleAt: harness.clock.in(9_000),
    });
    await harness.send(queue, "ready", "kept");
    const { batch, messages } = await harness.lease(queue, 3);
    await harness.settle(queue, [at(messages, 2), "retry"]);
    const refs = new Map(
      (await harness.engine.peek(queue, { max: 100 })).map(({ body, ref }) => [new TextDecoder().decode(body), ref]),
    );
    const foreign = first(await harness.engine.peek(other, { max: 1 })).ref;
    const nonsense = ["", "x", "-1", "1e3", "99999999999999999999"] as MessageRef[];
    const named = ["leased", "retried", "delayed", "ready"].map((name) => refs.get(name) as MessageRef);
    const result = await harness.checked(harness.engine.purgeByRef(queue, [...named, foreign, ...nonsense]));
    assert.equal(result.purged, 4);
    assert.deepEqual(result.unknown, [foreign, ...nonsense]);
    assert.deepEqual(await harness.stored(queue), ["kept leased", "kept"]);
    const { backlog, readiness } = await harness.engine.metrics(queue);
    assert.deepEqual([backlog.count, backlog.bytes], [2, "kept leased".length + "kept".length]);
    assert.deepEqual([readiness.ready, readiness.nextDueAt], [1, undefined]);
    assert.deepEqual((await harness.settle(queue, [at(messages, 0), "ack"])).stale, [at(messages, 0).lease]);
    assert.equal((await harness.settleWhole(queue, batch, "ack")).done, 1);
    assert.deepEqual((await harness.engine.purgeByRef(queue, named)).unknown, named);
    assert.deepEqual(bodiesOf((await harness.lease(queue, 10)).messages), ["kept"]);
    assert.equal((await harness.backlog(other)).count, 1);
  });

  test(`${engine.name}: a ready message purged by ref leaves the others leasable`, async () => {
    await using harness = await Harness.open(engine);
    const queue = await harness.queue();
    await harness.send(queue, ...texts(10));
    const peeked = await harness.engine.peek(queue, { max: 10 });
    await harness.engine.purgeByRef(
      queue,
      [0, 1, 4, 9].map((index) => at(peeked, index).ref),
    );
    const { readiness, messages } = await harness.lease(queue, 4);
    assert.deepEqual(bodiesOf(messages), ["m2", "m3", "m5", "m6"]);
    assert.equal(readiness.ready, 2);
    assert.deepEqual(bodiesOf((await harness.lease(queue, 100)).messages), ["m7", "m8"]);
    const { readiness: after } = await harness.send(queue, "new");
    assert.equal(after.ready, 1);
  });

  test(`${engine.name}: a sweep deletes what came in before a point in time, in slices, but nothing leased`, async () => {
    await using harness = await Harness.open(engine);
    const queue = await harness.queue();
    const start = harness.clock.now();
    await harness.send(queue, "leased", "retried", { body: "delayed", visibleAt: harness.clock.in(1e9) }, "old", "old");
    const { batch, messages } = await harness.lease(queue, 2);
    await harness.settle(queue, [at(messages, 1), "retry"]);
    harness.clock.advance(1_000);
    await harness.send(queue, "young", { body: "young delayed", visibleAt: harness.clock.in(1e9) });

    assert.deepEqual(await harness.checked(harness.engine.sweep(queue, start, 100)), {
      expired: 0,
      more: false,
      nextStoredAt: start,
    });
    const horizon = harness.clock.in(-500);
    const slice = await harness.checked(harness.engine.sweep(queue, horizon, 3));
    assert.deepEqual([slice.expired, slice.more], [3, true]);
    const rest = await harness.checked(harness.engine.sweep(queue, horizon, 3));
    assert.deepEqual(rest, { expired: 1, more: false, nextStoredAt: start });
    assert.deepEqual(await harness.stored(queue), ["leased", "young", "young delayed"]);
    assert.equal((await harness.accounting(queue)).expired, 4);
    await harness.settleWhole(queue, batch, "retry");
    assert.deepEqual(await harness.checked(harness.engine.sweep(queue, horizon, 3)), {
      expired: 1,
      more: false,
      nextStoredAt: harness.clock.now(),
    });
    assert.deepEqual(await harness.checked(harness.engine.sweep(queue, harness.clock.in(1), 100)), {
      expired: 2,
      more: false,
      nextStoredAt: undefined,
    });
    const { backlog, readiness } = await harness.engine.metrics(queue);
    assert.deepEqual(backlog, { count: 0, bytes: 0, oldestSentAt: undefined });
    assert.deepEqual([readiness.ready, readiness.nextDueAt], [0, undefined]);
  });

  test(`${engine.name}: metrics tell the oldest message whatever its state`, async () => {
    await using harness = await Harness.open(engine);
    const queue = await harness.queue();
    const times = [];
    for (const text of ["first", "second", "third"]) {
      times.push(harness.clock.now());
      await harness.send(queue, text);
      harness.clock.advance(1_000);
    }
    const oldest = async (): Promise<unknown> => (await harness.backlog(queue)).oldestSentAt;
    assert.equal(await oldest(), times[0]);
    const leased = await harness.leaseOne(queue);
    assert.equal(await oldest(), times[0]);
    await harness.settle(queue, [leased, { kind: "retry", visibleAt: harness.clock.in(1e6) }]);
    assert.equal(await oldest(), times[0]);
    await harness.settle(queue, [leased, "ack"]);
    assert.equal(await oldest(), times[1]);
    await harness.settleWhole(queue, (await harness.lease(queue, 10)).batch, "ack");
    assert.equal(await oldest(), undefined);
  });

  test(`${engine.name}: a survey lists exactly the queues that hold something`, async () => {
    await using harness = await Harness.open(engine);
    const [, ready, delayed, leased, emptied] = [
      await harness.queue(),
      await harness.queue(),
      await harness.queue(),
      await harness.queue(),
      await harness.queue(),
    ];
    assert.deepEqual(await harness.engine.survey(), []);
    await harness.send(ready, "a", "b");
    await harness.send(delayed, { body: "c", visibleAt: harness.clock.in(5_000) });
    await harness.send(leased, "d");
    await harness.lease(leased, 1, { holder: holderB });
    await harness.send(emptied, "e");
    await harness.settle(emptied, [await harness.leaseOne(emptied), "ack"]);
    const survey = new Map((await harness.engine.survey()).map((entry) => [entry.queue, entry]));
    assert.deepEqual([...survey.keys()].toSorted(), [ready, delayed, leased].toSorted());
    assert.equal(survey.get(ready)?.readiness.ready, 2);
    assert.equal(survey.get(delayed)?.readiness.nextDueAt, harness.clock.in(5_000));
    assert.equal(survey.get(leased)?.readiness.nextLeaseEndsAt, harness.clock.in(60_000));
    assert.equal(survey.get(leased)?.backlog.count, 1);
  });
}
