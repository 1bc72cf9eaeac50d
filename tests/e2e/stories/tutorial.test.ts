// The first story, as the README tells it: wrangler creates and deploys, the Worker sends, the handler runs after the response.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Tutorial } from "../support/tutorial.ts";

const numbers = (count: number): number[] => Array.from({ length: count }, (_, index) => index);
const byNumber = (a: unknown, b: unknown): number => Number(a) - Number(b);

test("the tutorial: batches, one retry, and the dead letter queue", async (t) => {
  await using tutorial = await Tutorial.start();
  const { recorder } = tutorial;

  await t.test("ten sends arrive as one batch of ten", async () => {
    for (const number of numbers(10)) await tutorial.send(number);
    const [batch] = await recorder.batches.until("a batch", (all) => (all.length > 0 ? all : undefined));
    assert.equal(batch?.queue, "my-app-events");
    assert.deepEqual(batch?.messages.map(({ body }) => body).toSorted(byNumber), numbers(10));
    assert.ok(batch?.messages.every(({ attempts }) => attempts === 1));
  });

  await t.test("three sends arrive together, once the batch timeout has passed", async () => {
    const before = recorder.batches.all.length;
    for (const number of numbers(3)) await tutorial.send(number);
    assert.equal(recorder.batches.all.length, before, "the handler has not run when the sends are answered");
    const batch = await recorder.batches.until("the next batch", (all) => all[before]);
    assert.equal(batch.messages.length, 3);
  });

  await t.test("a handler that retries one of ten gets only that one again", async () => {
    const before = recorder.batches.all.length;
    recorder.instruct = ({ messages }) => ({
      do: "retry",
      ids: messages.filter(({ body, attempts }) => body === 7 && attempts === 1).map(({ id }) => id),
    });
    await tutorial.sendBatch(numbers(10));
    const again = await recorder.batches.until("the retry", (all) => all[before + 1]);
    assert.deepEqual(
      again.messages.map(({ body, attempts }) => [body, attempts]),
      [[7, 2]],
    );
  });

  await t.test(
    "one that always throws sees attempts 1 to 4, then the message is in the dead letter queue",
    async () => {
      const before = recorder.batches.all.length;
      recorder.instruct = () => ({ do: "throw" });
      await tutorial.sendBatch(["doomed", ...numbers(9)]);
      await tutorial.server.event("message.deadLettered");
      await recorder.batches.until("four deliveries", (all) => all[before + 3]);
      const doomed = recorder.batches.all
        .slice(before)
        .flatMap(({ messages }) => messages.filter(({ body }) => body === "doomed"));
      assert.deepEqual(
        doomed.map(({ attempts }) => attempts),
        [1, 2, 3, 4],
      );
      const deadLetters = await tutorial.server.queueId("my-app-events-dlq");
      const { messages } = await tutorial.server.result<{
        messages: { id: string; body: string; timestamp_ms: number }[];
      }>("POST", `/queues/${deadLetters}/messages/peek`, { batch_size: 100 });
      const letter = messages.find(({ id }) => id === doomed[0]?.id);
      assert.ok(letter, "the same id");
      assert.equal(Buffer.from(letter.body, "base64").toString(), JSON.stringify("doomed"));
      assert.equal(letter.timestamp_ms, doomed[0]?.timestamp);
      const error = await tutorial.server.event("worker.error");
      assert.match(String(error["message"]), /the recorder said so/);
      assert.match(String(error["stack"]), /index\.js/);
    },
  );
});
