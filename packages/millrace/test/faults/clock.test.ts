// The clock is set back by an hour, while the store is open and while it is not: nothing is lost, given twice, or handed out early.

import assert from "node:assert/strict";
import { test } from "node:test";
import { judgeConservation, minutes } from "../../src/core/index.ts";
import { Harness, texts } from "../engines/harness.ts";
import { sqliteUnderTest } from "../engines/sqlite-harness.ts";

const hour = 3_600_000;

for (const restart of [undefined, "reopen", "crash"] as const) {
  test(`the clock set back an hour${restart === undefined ? "" : `, with a ${restart} between`}`, async () => {
    await using harness = await Harness.open(sqliteUnderTest("sqlite", {}));
    const queue = await harness.queue();
    await harness.send(queue, ...texts(3));
    await harness.send(queue, { body: "delayed", visibleAt: harness.clock.in(minutes(1)) });
    const held = await harness.leaseOne(queue);
    const retried = await harness.leaseOne(queue);
    await harness.settle(queue, [retried, "retry"]);
    harness.clock.advance(-hour);
    if (restart !== undefined) await harness.restart(restart);
    await harness.send(queue, "sent before everything else");

    // What waited for no time is there at once; what waited for one waits until the clock has come there again.
    const now = await harness.lease(queue, 10);
    assert.equal(now.messages.length, 2);
    assert.deepEqual((await harness.settle(queue, [held, "ack"])).done, 1, "a lease stays valid");
    await harness.settleWhole(queue, now.batch, "ack");
    assert.equal((await harness.lease(queue, 10)).messages.length, 0);
    harness.clock.advance(hour);
    assert.equal((await harness.leaseOne(queue)).id, retried.id);
    harness.clock.advance(minutes(1));
    const [delayed, ...more] = (await harness.lease(queue, 10)).messages;
    assert.equal(new TextDecoder().decode(delayed?.body), "delayed");
    assert.equal(more.length, 0);
    assert.deepEqual(judgeConservation((await harness.engine.verify(queue)) ?? assert.fail()), []);
  });
}
