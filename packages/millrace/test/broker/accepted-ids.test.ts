import assert from "node:assert/strict";
import { test } from "node:test";
import { AcceptedIds } from "../../src/broker/accepted-ids.ts";
import { epochMs, MillraceError } from "../../src/core/index.ts";
import type { EpochMs, MessageId, QueueId } from "../../src/core/index.ts";
import type { IntakeOptions } from "../../src/broker/index.ts";
import type { SendItem } from "../../src/contract/index.ts";
import { BrokerHarness } from "../support/broker-harness.ts";

const id = (number: number): MessageId => number.toString(16).padStart(32, "0") as MessageId;
const queue = "a".repeat(32) as QueueId;
const other = "b".repeat(32) as QueueId;

class Clock {
  time = 1_800_000_000_000;
  now(): EpochMs {
    return epochMs(this.time);
  }
}

test("an id is known in the queue that took it in, and in no other", () => {
  const accepted = new AcceptedIds(new Clock());
  accepted.add(queue, [id(1)]);
  assert.deepEqual(
    [accepted.has(queue, id(1)), accepted.has(other, id(1)), accepted.has(queue, id(2))],
    [true, false, false],
  );
  accepted.forget(queue);
  assert.equal(accepted.has(queue, id(1)), false);
});

test("at least so many of the newest ids are kept, at most twice as many, and what may be missing is told", () => {
  const clock = new Clock();
  const accepted = new AcceptedIds(clock, 10);
  const since = new Map<number, EpochMs>();
  for (let number = 1; number <= 100; number += 1) {
    clock.time += 1;
    since.set(number, clock.now());
    accepted.add(queue, [id(number)]);
    for (let earlier = 1; earlier <= number; earlier += 1) {
      const isKnown = accepted.has(queue, id(earlier));
      if (earlier > number - 10) assert.ok(isKnown, `${earlier} of ${number}`);
      if (!isKnown) assert.ok((since.get(earlier) ?? 0) < accepted.completeSince, `${earlier} of ${number}`);
    }
    const kept = Array.from({ length: number }, (_, index) => accepted.has(queue, id(index + 1))).filter(Boolean);
    assert.ok(kept.length <= 20);
  }
});

test("ids of many messages of one millisecond are not taken for complete once some are forgotten", () => {
  const clock = new Clock();
  const accepted = new AcceptedIds(clock, 10);
  for (let number = 1; number <= 35; number += 1) accepted.add(queue, [id(number)]);
  assert.equal(accepted.has(queue, id(1)), false);
  assert.ok(accepted.completeSince > clock.now());
});

const encoder = new TextEncoder();
const item = (number: number, fields: Partial<SendItem> = {}): SendItem => ({
  contentType: "text",
  body: encoder.encode(`message ${number}`),
  delaySeconds: undefined,
  messageId: id(number),
  ...fields,
});

async function stored(harness: BrokerHarness, queueId: QueueId): Promise<readonly string[]> {
  const peeked = await harness.engine.peek(queueId, { max: 100 });
  return peeked.map(({ body }) => new TextDecoder().decode(body));
}

async function opened(): Promise<{
  harness: BrokerHarness;
  send: (items: readonly SendItem[], options?: IntakeOptions) => Promise<number>;
  queue: QueueId;
}> {
  const harness = await BrokerHarness.open();
  const { id: queueId } = await harness.queue("events");
  const send = async (items: readonly SendItem[], options?: IntakeOptions): Promise<number> =>
    (await harness.intake.send(queueId, items, options)).backlog.count;
  return { harness, send, queue: queueId };
}

test("a message that is sent again is stored once, under its id, and answered as if it were new", async () => {
  const { harness, send, queue: queueId } = await opened();
  await using _ = harness;
  assert.equal(await send([item(1)]), 1);
  assert.equal(await send([item(1)]), 1);
  assert.equal(await send([item(1)], { firstSentAt: harness.time.now() }), 1);
  const [message] = await harness.engine.peek(queueId, { max: 1 });
  assert.equal(message?.id, id(1));
});

test("a message that was consumed meanwhile is recognised too", async () => {
  const { harness, send, queue: queueId } = await opened();
  await using _ = harness;
  await send([item(1)]);
  const [peeked] = await harness.engine.peek(queueId, { max: 1 });
  assert.ok(peeked);
  await harness.engine.purgeByRef(queueId, [peeked.ref]);
  assert.equal(await send([item(1)], { firstSentAt: harness.time.now() }), 0);
});

test("of a batch that overlaps another one, what is new is stored", async () => {
  const { harness, send, queue: queueId } = await opened();
  await using _ = harness;
  await send([item(1), item(2)]);
  assert.equal(await send([item(2), item(3), item(1), item(4)]), 4);
  assert.deepEqual(await stored(harness, queueId), ["message 1", "message 2", "message 3", "message 4"]);
});

test("the same id in two queues names two messages", async () => {
  const { harness, send } = await opened();
  await using _ = harness;
  const second = await harness.queue("others");
  await send([item(1)]);
  await harness.intake.send(second.id, [item(1)]);
  assert.deepEqual(await stored(harness, second.id), ["message 1"]);
});

test("a batch with the same id twice is refused: one message would be taken for the other", async () => {
  const { harness, send, queue: queueId } = await opened();
  await using _ = harness;
  await assert.rejects(send([item(1), item(2), item(1)]), {
    code: "REQUEST_INVALID",
    message: /messages\[2\].millrace_message_id: expected an id of its own, got that of messages\[0\]/,
  });
  assert.deepEqual(await stored(harness, queueId), []);
});

test("a refused send is not remembered", async () => {
  const { harness, send } = await opened();
  await using _ = harness;
  await assert.rejects(send([item(1), item(2, { delaySeconds: -1 })]), { code: "DELAY_INVALID" });
  assert.equal(await send([item(1)]), 1);
});

test("repetitions that arrive while the first send is stored wait for it", async () => {
  const { harness, send } = await opened();
  await using _ = harness;
  const gate = Promise.withResolvers<void>();
  const { engine } = harness;
  const original = engine.send.bind(engine);
  let sends = 0;
  engine.send = async (...args) => {
    sends += 1;
    if (sends === 1) await gate.promise;
    return await original(...args);
  };
  const first = send([item(1), item(2)]);
  const again = send([item(2), item(3)], { firstSentAt: harness.time.now() });
  const elsewhere = send([item(4)]);
  await elsewhere;
  assert.equal(sends, 2);
  gate.resolve();
  await Promise.all([first, again]);
  assert.equal((await harness.engine.metrics((await harness.engine.survey())[0]?.queue ?? queue)).backlog.count, 4);
});

test("what a failed send may have stored is looked for in the store when it comes again", async () => {
  const { harness, send } = await opened();
  await using _ = harness;
  const { engine } = harness;
  const original = engine.send.bind(engine);
  const resends: (boolean | undefined)[] = [];
  await harness.time.advance(3_600_000);
  engine.send = async (queueId, messages, options) => {
    resends.push(options?.resend);
    await original(queueId, messages, options);
    throw new MillraceError("UNKNOWN_OUTCOME", "The store broke off");
  };
  await assert.rejects(send([item(1)]), { code: "UNKNOWN_OUTCOME" });
  engine.send = async (queueId, messages, options) => {
    resends.push(options?.resend);
    return await original(queueId, messages, options);
  };
  assert.equal(await send([item(1)], { firstSentAt: harness.time.now() }), 1);
  assert.deepEqual(resends, [undefined, true]);
});

test("a server that was started since the first try asks the store; one that was not does not", async () => {
  const { harness, send, queue: queueId } = await opened();
  await using _ = harness;
  const resends: (boolean | undefined)[] = [];
  const original = harness.engine.send.bind(harness.engine);
  harness.engine.send = async (to, messages, options) => {
    resends.push(options?.resend);
    return await original(to, messages, options);
  };
  await harness.time.advance(200_000);
  await send([item(1)], { firstSentAt: epochMs(harness.time.now() - 100_000) });
  await send([item(2)], { firstSentAt: epochMs(harness.time.now() - 250_000) });
  await send([item(3)]);
  assert.deepEqual(resends, [undefined, true, undefined]);
  const [first, second] = await harness.engine.peek(queueId, { max: 2 });
  assert.equal(first?.sentAt, harness.time.now() - 100_000); // when it was sent, not when it came in
  assert.equal(second?.sentAt, harness.time.now() - 250_000);
});
