// What is fast is not so for being less durable: seen from the kernel, no answer to a send leaves before a sync that came after it.
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { MillraceServer } from "./harness/server.ts";
import { traceSystemCalls, whyNoTrace } from "./harness/system-calls.ts";
import { senderSource } from "./workers/sender.ts";

const sends = 25;
const skip = (await whyNoTrace()) ?? false;

test("every send is synced before it is answered", { skip }, async (context) => {
  const folder = await mkdtemp(join(tmpdir(), "millrace-system-calls-"));
  context.after(async () => await rm(folder, { recursive: true, force: true, maxRetries: 3 }));
  await using server = await MillraceServer.start(join(folder, "data"));
  const queue = await server.createQueue("traced");
  await server.deploy({ name: "sender", source: senderSource, queues: { QUEUE: queue.name }, texts: { TEXT: "x" } });
  const address = await server.ownAddress("sender");
  assert.ok("port" in address);
  const page = async (path: string): Promise<string> =>
    await (await fetch(`http://${address.host}:${address.port}${path}`)).text();
  const message = { body: { id: "0", text: "x".repeat(200) } };

  const ways: Readonly<Record<string, () => Promise<unknown>>> = {
    "a push over REST": async () => await server.call("POST", `/queues/${queue.id}/messages`, message),
    "a bulk push over REST": async () =>
      await server.call("POST", `/queues/${queue.id}/messages/batch`, { messages: [message, message] }),
    "a Worker's send": async () => await page("/send/0"),
    "a Worker's sendBatch": async () => await page("/batch/0,1"),
  };
  for (const [name, send] of Object.entries(ways)) {
    await context.test(name, async () => {
      const trace = await traceSystemCalls([server.pid], folder);
      for (let count = 0; count < sends; count += 1) await send();
      const calls = await trace.end();
      let isSynced = false;
      let answered = 0;
      for (const call of calls) {
        if (call.kind === "synced") {
          isSynced ||= call.file.endsWith("messages.db-wal");
        } else {
          assert.ok(isSynced, `answer ${answered + 1} left before a sync`);
          isSynced = false;
          answered += 1;
        }
      }
      assert.equal(answered, sends);
    });
  }
});
