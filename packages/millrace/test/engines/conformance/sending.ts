// What an engine promises to who sends.

import assert from "node:assert/strict";
import { test } from "node:test";
import { epochMs, isMillraceError } from "../../../src/core/index.ts";
import type { LeasedBatch, QueueId, Readiness } from "../../../src/core/index.ts";
import type { EngineUnderTest } from "../harness.ts";
import { bodiesOf, first, Harness, texts } from "../harness.ts";

export function sendingConformance(engine: EngineUnderTest): void {
  test(`${engine.name}: a sent message is counted, ready at once, and keeps every field`, async () => {
    await using harness = await Harness.open(engine);
    const queue = await harness.queue();
    const sent = harness.message({ body: new Uint8Array([0, 255, 128, 1]), contentType: "v8", source: "dash" });
    const receipt = await harness.checked(harness.engine.send(queue, [sent]));
    assert.deepEqual(receipt.backlog, { count: 1, bytes: 4, oldestSentAt: sent.sentAt });
    assert.deepEqual(receipt.readiness, {
      ready: 1,
      readySince: harness.clock.now(),
      nextDueAt: undefined,
      nextLeaseEndsAt: undefined,
    });
    const { lease: _, ...leased } = await harness.leaseOne(queue);
    assert.deepEqual(
      { ...leased, body: Buffer.from(leased.body) },
      {
        id: sent.id,
        sentAt: sent.sentAt,
        contentType: "v8",
        body: Buffer.from([0, 255, 128, 1]),
        source: "dash",
        attempts: 1,
      },
    );
  });

  test(`${engine.name}: a message without a source has none`, async () => {
    await using harness = await Harness.open(engine);
    const queue = await harness.queue();
    await harness.send(queue, "a");
    assert.equal((await harness.leaseOne(queue)).source, undefined);
  });

  test(`${engine.name}: every content type, an empty body and the largest body come back as they went in`, async () => {
    await using harness = await Harness.open(engine);
    const queue = await harness.queue();
    const largest = new Uint8Array(128_000).map((_, index) => index % 251);
    await harness.send(
      queue,
      { body: "{}", contentType: "json" },
      { body: "", contentType: "text" },
      { body: largest, contentType: "bytes" },
      { body: "v", contentType: "v8" },
    );
    const { messages, backlog } = await harness.lease(queue, 10);
    assert.deepEqual(
      messages.map(({ contentType }) => contentType),
      ["json", "text", "bytes", "v8"],
    );
    assert.equal(messages[1]?.body.length, 0);
    assert.deepEqual(Buffer.from(messages[2]?.body ?? []), Buffer.from(largest));
    assert.equal(backlog.bytes, 2 + 128_000 + 1);
  });

  test(`${engine.name}: a delayed message counts but is ready only when due`, async () => {
    await using harness = await Harness.open(engine);
    const queue = await harness.queue();
    const dueAt = harness.clock.in(5_000);
    const { backlog, readiness } = await harness.send(queue, { body: "late", visibleAt: dueAt });
    assert.equal(backlog.count, 1);
    assert.equal(readiness.ready, 0);
    assert.equal(readiness.readySince, undefined);
    assert.equal(readiness.nextDueAt, dueAt);
    harness.clock.advance(4_999);
    assert.deepEqual((await harness.lease(queue, 1)).messages, []);
    harness.clock.advance(1);
    const due = (await harness.engine.metrics(queue)).readiness;
    assert.deepEqual([due.ready, due.readySince, due.nextDueAt], [1, dueAt, undefined]);
    assert.deepEqual(bodiesOf((await harness.lease(queue, 1)).messages), ["late"]);
  });

  test(`${engine.name}: a message delayed into the past is ready now`, async () => {
    await using harness = await Harness.open(engine);
    const queue = await harness.queue();
    const { readiness } = await harness.send(queue, { body: "a", visibleAt: harness.clock.in(-10_000) });
    assert.equal(readiness.ready, 1);
    assert.equal(readiness.readySince, harness.clock.now());
  });

  test(`${engine.name}: delayed messages become ready in order of their due times, whatever the order they came in`, async () => {
    await using harness = await Harness.open(engine);
    const queue = await harness.queue();
    for (const delay of [3, 1, 2]) {
      await harness.send(queue, { body: `${delay}s`, visibleAt: harness.clock.in(delay * 1_000) });
    }
    const dueTimes: (number | undefined)[] = [];
    const bodies: string[] = [];
    for (let second = 0; second < 3; second += 1) {
      dueTimes.push((await harness.engine.metrics(queue)).readiness.nextDueAt);
      harness.clock.advance(1_000);
      bodies.push(...bodiesOf((await harness.lease(queue, 10)).messages));
    }
    assert.deepEqual(bodies, ["1s", "2s", "3s"]);
    assert.deepEqual(dueTimes, [-2_000, -1_000, 0].map(harness.clock.in.bind(harness.clock)));
  });

  test(`${engine.name}: concurrent sends to several queues all arrive, each in its queue`, async () => {
    await using harness = await Harness.open(engine);
    const queues = [await harness.queue(), await harness.queue(), await harness.queue()];
    await Promise.all(
      texts(60).map(async (text, index) => {
        const queue = queues[index % 3] as QueueId;
        await harness.engine.send(queue, [harness.message(text)]);
      }),
    );
    for (const [index, queue] of queues.entries()) {
      assert.deepEqual(
        await harness.stored(queue),
        texts(60).filter((_, number) => number % 3 === index),
      );
    }
    await harness.checkLaw();
  });

  test(`${engine.name}: sending to a queue that does not exist fails and harms no neighbour`, async () => {
    await using harness = await Harness.open(engine);
    const queue = await harness.queue();
    const [good, bad, alsoGood] = await Promise.allSettled([
      harness.engine.send(queue, [harness.message("a")]),
      harness.engine.send(harness.queueId(), [harness.message("b")]),
      harness.engine.send(queue, [harness.message("c")]),
    ]);
    assert.equal(good.status, "fulfilled");
    assert.equal(alsoGood.status, "fulfilled");
    assert.ok(bad.status === "rejected" && isMillraceError(bad.reason, "QUEUE_NOT_FOUND"));
    assert.deepEqual(await harness.stored(queue), ["a", "c"]);
  });

  test(`${engine.name}: every operation on a queue that does not exist answers QUEUE_NOT_FOUND`, async () => {
    await using harness = await Harness.open(engine);
    const nowhere = harness.queueId();
    const operations: (() => Promise<unknown>)[] = [
      async () => await harness.engine.send(nowhere, [harness.message("a")]),
      async () => await harness.lease(nowhere, 1),
      async () => await harness.engine.settle(nowhere, { each: [], whole: [] }),
      async () => await harness.engine.extend(nowhere, [], harness.clock.now()),
      async () => await harness.engine.expiredLeases(nowhere, 10),
      async () => await harness.engine.peek(nowhere, { max: 1 }),
      async () => await harness.engine.purge(nowhere, undefined),
      async () => await harness.engine.purgeByRef(nowhere, []),
      async () => await harness.engine.metrics(nowhere),
      async () => await harness.engine.sweep(nowhere, harness.clock.now(), 10),
    ];
    for (const operation of operations) {
      await assert.rejects(operation, (error) => isMillraceError(error, "QUEUE_NOT_FOUND"));
    }
  });

  test(`${engine.name}: a resend skips what is still stored and adds what is not`, async () => {
    await using harness = await Harness.open(engine);
    const queue = await harness.queue();
    const other = await harness.queue();
    const messages = ["ready", "leased", "delayed", "acked"].map((text) =>
      harness.message({ body: text, ...(text === "delayed" && { visibleAt: harness.clock.in(60_000) }) }),
    );
    await harness.engine.send(queue, messages.slice(1, 2));
    await harness.leaseOne(queue);
    await harness.engine.send(queue, messages.slice(3));
    await harness.settle(queue, [await harness.leaseOne(queue), "ack"]);
    await harness.engine.send(queue, [...messages.slice(0, 1), ...messages.slice(2, 3)]);
    await harness.engine.send(other, messages.slice(0, 1));
    harness.clock.advance(1_000);

    const { backlog } = await harness.checked(
      harness.engine.send(queue, [...messages, harness.message("new")], { resend: true }),
    );
    assert.equal(backlog.count, 5);
    assert.deepEqual(await harness.stored(queue), ["leased", "ready", "delayed", "acked", "new"]);
    assert.equal((await harness.backlog(other)).count, 1);
  });

  test(`${engine.name}: a resend that may be of any age is looked for among all that is stored`, async () => {
    await using harness = await Harness.open(engine);
    const queue = await harness.queue();
    const message = harness.message("once");
    await harness.engine.send(queue, [message]);
    harness.clock.advance(600_000);
    const again = { ...message, sentAt: harness.clock.now() };
    const { known } = await harness.engine.send(queue, [again], { resend: true, anyAge: true });
    assert.equal(known, 1);
    assert.deepEqual(await harness.stored(queue), ["once"]);
  });

  test(`${engine.name}: a resend of a message leased and retried meanwhile does not double it`, async () => {
    await using harness = await Harness.open(engine);
    const queue = await harness.queue();
    const message = harness.message("once");
    await harness.engine.send(queue, [message]);
    await harness.settle(queue, [await harness.leaseOne(queue), "retry"]);
    await harness.engine.send(queue, [message], { resend: true });
    assert.equal((await harness.backlog(queue)).count, 1);
    await harness.leaseOne(queue);
    await harness.engine.send(queue, [message], { resend: true });
    assert.equal((await harness.backlog(queue)).count, 1);
  });

  test(`${engine.name}: a send wakes listeners with how the queue stands, until they stop listening`, async () => {
    await using harness = await Harness.open(engine);
    const queue = await harness.queue();
    const woken: (Readiness | undefined)[] = [];
    const wake = Promise.withResolvers<void>();
    const stop = harness.engine.onWake((id, readiness) => {
      if (id === queue) woken.push(readiness);
      wake.resolve();
    });
    await harness.send(queue, "a");
    await wake.promise;
    assert.equal(first(woken)?.ready, 1);
    stop();
    const count = woken.length;
    await harness.send(queue, "b");
    await harness.engine.metrics(queue);
    assert.equal(woken.length, count);
  });

  test(`${engine.name}: who is told of a send on its way, and asks at once, gets its messages; what is delayed is not told of`, async () => {
    await using harness = await Harness.open(engine);
    const queue = await harness.queue();
    const told: number[] = [];
    const leases: Promise<LeasedBatch>[] = [];
    harness.engine.onSending((id, messages) => {
      assert.equal(id, queue);
      told.push(messages);
      leases.push(harness.lease(queue, 10, { durable: false, afterSends: true }));
    });
    const delayed = { ...harness.message("delayed"), visibleAt: epochMs(harness.clock.now() + 1_000) };
    await Promise.all([
      harness.engine.send(queue, [harness.message("a"), delayed]),
      harness.engine.send(queue, [harness.message("b")]),
      harness.engine.send(
        queue,
        [delayed].map((message) => ({ ...message, id: harness.message("other").id })),
      ),
    ]);
    // An engine need not tell.
    const batches = await Promise.all(leases);
    const got = batches.map(({ messages }) => bodiesOf(messages));
    if (told.length > 0) assert.deepEqual({ told, got }, { told: [1, 1], got: [["a", "b"], []] });
  });

  test(`${engine.name}: a closed engine refuses everything and may be closed again`, async () => {
    await using harness = await Harness.open(engine);
    const queue = await harness.queue();
    await harness.engine[Symbol.asyncDispose]();
    await harness.engine[Symbol.asyncDispose]();
    await assert.rejects(async () => await harness.engine.send(queue, [harness.message("a")]), isClosed);
    await assert.rejects(async () => await harness.engine.survey(), isClosed);
    await assert.rejects(async () => await harness.engine.catalog.load(), isClosed);
  });
}

function isClosed(error: unknown): boolean {
  return isMillraceError(error, "ENGINE_CLOSED");
}
