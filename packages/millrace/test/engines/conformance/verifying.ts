// What an engine promises to who checks it: a recount reads every message, and is exact whatever comes and goes meanwhile.

import assert from "node:assert/strict";
import { test } from "node:test";
import { imbalanceOf, isMillraceError, judgeConservation } from "../../../src/core/index.ts";
import type { EngineUnderTest } from "../harness.ts";
import { at, Harness, texts } from "../harness.ts";

export function verifyingConformance(engine: EngineUnderTest): void {
  test(`${engine.name}: a recount finds every message, whatever its state, and what became of the others`, async () => {
    await using harness = await Harness.open(engine);
    const queue = await harness.queue();
    const graveyard = await harness.queue();
    await harness.send(queue, ...texts(6), { body: "delayed", visibleAt: harness.clock.in(9_000) });
    const { messages } = await harness.lease(queue, 5);
    await harness.settle(
      queue,
      [at(messages, 0), "ack"],
      [at(messages, 1), { kind: "deadLetter", queue: graveyard }],
      [at(messages, 2), "drop"],
      [at(messages, 3), "retry"],
    );
    const recount = await harness.recount(queue);
    assert.deepEqual(recount, {
      backlog: { ...recount.backlog, count: 4, bytes: 13 },
      accounting: { accepted: 7, acked: 1, deadLettered: 1, expired: 0, purged: 0, dropped: 1 },
      held: 4,
      stored: { count: 4, bytes: 13 },
      stranded: 0,
      missing: 0,
      doubled: 0,
      unreadable: 0,
    });
    assert.equal(imbalanceOf(recount), 0);
    assert.equal((await harness.recount(graveyard)).stored.count, 1);
    assert.equal((await harness.recount(await harness.queue())).stored.count, 0);
  });

  test(`${engine.name}: a recount is exact though messages come and go meanwhile`, async () => {
    await using harness = await Harness.open(engine);
    const queue = await harness.queue();
    const neighbour = await harness.queue();
    for (let round = 0; round < 30; round += 1) {
      await harness.send(queue, ...texts(100));
      await harness.send(neighbour, ...texts(100));
    }
    const stop = new AbortController();
    const traffic = async (): Promise<void> => {
      for (let round = 0; !stop.signal.aborted; round += 1) {
        if (round % 3 === 0) await harness.send(queue, ...texts(20));
        const { batch, messages } = await harness.lease(queue, 40);
        if (round % 2 === 0) await harness.settleWhole(queue, batch, "ack");
        else
          await harness.settle(queue, [at(messages, 0), "retry"], [at(messages, 1), "ack"], [at(messages, 2), "drop"]);
      }
    };
    const running = traffic();
    for (let count = 0; count < 5; count += 1) await harness.recount(queue);
    stop.abort();
    await running;
    await harness.recount(queue);
    await harness.recount(neighbour);
  });

  test(`${engine.name}: a recount survives purges, and a reopened store`, async () => {
    await using harness = await Harness.open(engine);
    const queue = await harness.queue();
    await harness.send(queue, ...texts(100));
    await harness.send(queue, { body: "delayed", visibleAt: harness.clock.in(1_000) });
    await harness.lease(queue, 10);
    const recount = harness.engine.verify(queue);
    await harness.engine.purge(queue, undefined);
    assert.deepEqual(judgeConservation((await recount) ?? assert.fail("it was given up")), []);
    await harness.send(queue, ...texts(3));
    const refs = (await harness.engine.peek(queue, { max: 2 })).map(({ ref }) => ref);
    await harness.engine.purgeByRef(queue, refs);
    assert.equal((await harness.recount(queue)).stored.count, 1);
    if (engine.durable) {
      await harness.restart("reopen");
      assert.equal((await harness.recount(queue)).stored.count, 1);
    }
  });

  test(`${engine.name}: a recount of no queue fails, and of one that is deleted too`, async () => {
    await using harness = await Harness.open(engine);
    const notFound = (error: unknown): boolean => isMillraceError(error, "QUEUE_NOT_FOUND");
    await assert.rejects(harness.engine.verify(harness.queueId()), notFound);
    const queue = await harness.queue();
    await harness.dropQueue(queue);
    await assert.rejects(harness.engine.verify(queue), notFound);
  });
}
