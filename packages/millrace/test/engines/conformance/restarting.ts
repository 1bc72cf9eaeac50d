// What a durable engine promises over a restart: everything answered is there, leases and their attempts included.

import assert from "node:assert/strict";
import { test } from "node:test";
import { seconds } from "../../../src/core/index.ts";
import type { EngineUnderTest, Restart } from "../harness.ts";
import { at, bodiesOf, first, Harness, holderA, holderB, texts } from "../harness.ts";

export function restartingConformance(engine: EngineUnderTest): void {
  for (const how of ["reopen", "crash"] as const) restarts(engine, how);

  test(
    `${engine.name}: closing waits for what was asked before`,
    { skip: engine.durable ? false : "not a durable engine" },
    async () => {
      await using harness = await Harness.open(engine);
      const queue = await harness.queue();
      const sends = texts(20).map(async (text) => await harness.engine.send(queue, [harness.message(text)]));
      await harness.restart("reopen");
      await Promise.all(sends);
      assert.equal((await harness.backlog(queue)).count, 20);
    },
  );
}

function restarts(engine: EngineUnderTest, how: Restart): void {
  const skip = engine.durable ? false : "not a durable engine";
  const name = `${engine.name}, after a ${how}`;

  test(`${name}: messages in every state survive a restart`, { skip }, async () => {
    await using harness = await Harness.open(engine);
    const queue = await harness.queue();
    const sent = harness.message({ body: "source", contentType: "json", source: "dash" });
    await harness.engine.send(queue, [sent]);
    await harness.send(queue, "leased", "retried", "delayed retry", "acked", "released");
    await harness.send(queue, { body: "delayed", visibleAt: harness.clock.in(5_000) }, "ready", "unseen");
    const { messages } = await harness.lease(queue, 6, { visibility: seconds(30), holder: holderB });
    await harness.settle(
      queue,
      [at(messages, 0), "release"],
      [at(messages, 2), "retry"],
      [at(messages, 3), { kind: "retry", visibleAt: harness.clock.in(7_000) }],
      [at(messages, 4), "ack"],
      [at(messages, 5), "release"],
    );
    const before = [await harness.engine.metrics(queue), await harness.engine.peek(queue, { max: 100 })];
    await harness.restart(how);
    await harness.checkLaw();
    assert.deepEqual([await harness.engine.metrics(queue), await harness.engine.peek(queue, { max: 100 })], before);
    assert.deepEqual(await harness.engine.holders(), [holderB]);

    harness.clock.advance(7_000);
    const rest = await harness.lease(queue, 100);
    assert.deepEqual(
      new Map(rest.messages.map(({ body, attempts }) => [new TextDecoder().decode(body), attempts])),
      new Map([
        ["source", 1],
        ["retried", 2],
        ["delayed retry", 2],
        ["released", 1],
        ["delayed", 1],
        ["ready", 1],
        ["unseen", 1],
      ]),
    );
    const again = rest.messages.find(({ id }) => id === sent.id);
    assert.deepEqual([again?.source, again?.contentType, again?.sentAt], ["dash", "json", sent.sentAt]);
  });

  test(`${name}: leases survive a restart and can be settled, extended and expired after it`, { skip }, async () => {
    await using harness = await Harness.open(engine);
    const queue = await harness.queue();
    await harness.send(queue, ...texts(10));
    const one = await harness.lease(queue, 4, { visibility: seconds(10) });
    const two = await harness.lease(queue, 4, { visibility: seconds(20) });
    await harness.settle(queue, [at(one.messages, 1), "ack"], [at(two.messages, 0), "retry"]);
    await harness.engine.extend(queue, [at(one.messages, 3).lease], harness.clock.in(15_000));
    await harness.restart(how);
    assert.equal((await harness.settle(queue, [at(one.messages, 0), "ack"])).done, 1);
    assert.equal((await harness.settle(queue, [at(two.messages, 0), "ack"])).late.length, 1);
    assert.deepEqual((await harness.settle(queue, [at(one.messages, 1), "ack"])).stale, [at(one.messages, 1).lease]);
    harness.clock.advance(10_000);
    assert.deepEqual(
      (await harness.engine.expiredLeases(queue, 10)).map(({ lease }) => lease),
      [at(one.messages, 2).lease],
    );
    harness.clock.advance(5_000);
    assert.equal((await harness.engine.expiredLeases(queue, 10)).length, 2);
    await harness.restart(how);
    assert.equal((await harness.settleWhole(queue, one.batch, "retry")).done, 2);
    assert.equal((await harness.settleWhole(queue, two.batch, "ack")).done, 3);
    assert.equal((await harness.backlog(queue)).count, 4);
    const { messages } = await harness.lease(queue, 10);
    assert.deepEqual(bodiesOf(messages).toSorted(), ["m2", "m3", "m8", "m9"]);
    assert.notEqual(first(messages).lease, at(one.messages, 2).lease);
  });

  test(`${name}: a dead server's leases come back without costing the attempt`, { skip }, async () => {
    await using harness = await Harness.open(engine);
    const queue = await harness.queue();
    await harness.send(queue, ...texts(3));
    await harness.lease(queue, 3, { holder: holderA });
    await harness.restart(how);
    assert.equal(await harness.checked(harness.engine.releaseHolder(holderA)), 3);
    await harness.restart(how);
    const { messages } = await harness.lease(queue, 3);
    assert.deepEqual(
      messages.map(({ body, attempts }) => [new TextDecoder().decode(body), attempts]),
      texts(3).map((text) => [text, 1]),
    );
  });

  test(`${name}: what was purged, swept, moved or dropped stays gone after a restart`, { skip }, async () => {
    await using harness = await Harness.open(engine);
    const queue = await harness.queue();
    const graveyard = await harness.queue();
    const doomed = await harness.queue();
    await harness.send(doomed, ...texts(200), { body: "delayed", visibleAt: harness.clock.in(1_000) });
    await harness.send(queue, ...texts(200));
    await harness.lease(doomed, 50);
    let purge = await harness.engine.purge(queue, undefined);
    while (purge.more) purge = await harness.engine.purge(queue, purge.token);
    await harness.send(queue, "swept", "by ref", "dead", "kept");
    await harness.engine.sweep(queue, harness.clock.in(1), 1);
    await harness.engine.purgeByRef(queue, [first(await harness.engine.peek(queue, { max: 1 })).ref]);
    await harness.settle(queue, [await harness.leaseOne(queue), { kind: "deadLetter", queue: graveyard }]);
    await harness.dropQueue(doomed);
    await harness.restart(how);
    await harness.checkLaw();
    assert.deepEqual(await harness.stored(queue), ["kept"]);
    assert.deepEqual(await harness.stored(graveyard), ["dead"]);
    assert.deepEqual(await harness.engine.holders(), []);
    assert.deepEqual(await harness.accounting(queue), {
      accepted: 204,
      acked: 0,
      deadLettered: 1,
      expired: 1,
      purged: 201,
      dropped: 0,
    });
    await assert.rejects(harness.engine.metrics(doomed));
    assert.deepEqual(bodiesOf((await harness.lease(queue, 10)).messages), ["kept"]);
  });

  test(`${name}: single messages that were purged stay gone, whatever their place`, { skip }, async () => {
    await using harness = await Harness.open(engine);
    const queue = await harness.queue();
    await harness.send(queue, ...texts(8));
    const peeked = await harness.engine.peek(queue, { max: 8 });
    await harness.engine.purgeByRef(
      queue,
      [0, 3, 4, 7].map((index) => at(peeked, index).ref),
    );
    await harness.restart(how);
    assert.deepEqual(await harness.stored(queue), ["m1", "m2", "m5", "m6"]);
    assert.equal((await harness.engine.metrics(queue)).readiness.ready, 4);
    assert.deepEqual(bodiesOf((await harness.lease(queue, 3)).messages), ["m1", "m2", "m5"]);
    await harness.restart(how);
    assert.deepEqual(bodiesOf((await harness.lease(queue, 3)).messages), ["m6"]);
  });

  test(`${name}: a long history over many restarts keeps order and counts`, { skip }, async () => {
    await using harness = await Harness.open(engine);
    const queue = await harness.queue();
    const expected: string[] = [];
    const got: string[] = [];
    for (let round = 0; round < 8; round += 1) {
      for (let batch = 0; batch < 5; batch += 1) {
        const bodies = texts(50, `${round}.${batch}.`);
        expected.push(...bodies);
        await harness.send(queue, ...bodies);
      }
      for (let batch = 0; batch < 4; batch += 1) {
        const leased = await harness.lease(queue, 50);
        got.push(...bodiesOf(leased.messages));
        await harness.settleWhole(queue, leased.batch, "ack");
      }
      await harness.restart(how);
      await harness.checkLaw();
    }
    got.push(...(await harness.stored(queue)));
    assert.deepEqual(got, expected);
  });

  test(`${name}: the catalog, the audit log and blobs survive a restart`, { skip }, async () => {
    await using harness = await Harness.open(engine);
    const record = { kind: "thing", key: "a", value: { deep: [1, 2] } };
    const entry = { at: harness.clock.now(), action: "Put", actor: "tester", resource: "a", details: null };
    await harness.engine.catalog.commit({ expectedRevision: 0, operations: [{ kind: "put", record }], audit: [entry] });
    await harness.engine.catalog.putBlob("key", new Uint8Array([7]));
    await harness.restart(how);
    assert.deepEqual(await harness.engine.catalog.load(), { revision: 1, records: [record] });
    assert.deepEqual(
      (await harness.engine.catalog.readAudit({ limit: 10 })).map(({ action }) => action),
      ["Put"],
    );
    assert.deepEqual([...((await harness.engine.catalog.getBlob("key")) ?? [])], [7]);
  });
}
