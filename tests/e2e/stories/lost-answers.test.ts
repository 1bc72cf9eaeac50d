// A program sends over a connection that breaks after its request went through, and over a server that dies between commit and
// answer: everything it sent is stored once.

import assert from "node:assert/strict";
import { test } from "node:test";
import { createClient } from "../../../packages/client/src/index.ts";
import type { Client, ClientOptions } from "../../../packages/client/src/index.ts";
import { CuttingProxy } from "../support/cutting-proxy.ts";
import { Server, temporaryFolder, token } from "../support/millrace.ts";

interface Story extends AsyncDisposable {
  server: Server;
  readonly proxy: CuttingProxy;
  readonly queue: string;
  client(options?: Partial<ClientOptions>): Client;
  /** Bodies and ids of everything in the queue. */
  stored(): Promise<readonly { readonly id: string; readonly body: string }[]>;
  killAndRestart(): Promise<void>;
}

async function open(): Promise<Story> {
  await using parts = new AsyncDisposableStack();
  const folder = parts.use(await temporaryFolder());
  const server = await Server.start(folder.path);
  const { queue_id: queue } = await server.result<{ queue_id: string }>("POST", "/queues", { queue_name: "orders" });
  const { ports } = server;
  const proxy = await CuttingProxy.start(() => ports.api);
  const kept = parts.move();
  const story: Story = {
    server,
    proxy,
    queue,
    client: (options = {}) =>
      createClient({
        baseUrl: `http://127.0.0.1:${proxy.port}`,
        accountId: server.ready.account_id,
        token,
        retry: { attempts: 100, minDelayMs: 10, maxDelayMs: 100 },
        ...options,
      }),
    async stored() {
      const found: { id: string; body: string }[] = [];
      for (let after: string | undefined; ;) {
        const { messages } = await story.server.result<{ messages: { id: string; body: string; ref: string }[] }>(
          "POST",
          `/queues/${queue}/messages/peek`,
          { batch_size: 100, ...(after !== undefined && { after }) },
        );
        found.push(...messages);
        after = messages.at(-1)?.ref;
        if (after === undefined) return found;
      }
    },
    async killAndRestart() {
      await story.server.kill();
      story.server = await Server.start(folder.path, ports);
    },
    async [Symbol.asyncDispose]() {
      await proxy[Symbol.asyncDispose]();
      await story.server[Symbol.asyncDispose]();
      await kept.disposeAsync();
    },
  };
  return story;
}

const names = (count: number, what: string): string[] =>
  Array.from({ length: count }, (_, index) => `${what} ${index}`);

test("answers lost on the way cost no message and double none", async () => {
  await using story = await open();
  const orders = story.client().queue<string>("orders");
  await orders.send("first", { contentType: "text" });
  let answers = 0;
  story.proxy.cuts = () => (answers += 1) % 3 !== 0; // two of three
  const bodies = names(150, "order");
  for (const body of bodies.slice(0, 20)) await orders.send(body, { contentType: "text" });
  await Promise.all(bodies.slice(20, 120).map(async (body) => await orders.send(body, { contentType: "text" })));
  await orders.sendBatch(bodies.slice(120).map((body) => ({ body, contentType: "text" })));
  assert.ok(story.proxy.lost >= 20);
  const stored = await story.stored();
  assert.deepEqual(stored.map(({ body }) => body).toSorted(), ["first", ...bodies].toSorted());
});

test("without ids a lost answer doubles a message: what the story above would be", async () => {
  await using story = await open();
  const orders = story.client({ messageIds: false }).queue<string>(story.queue);
  let isCut = false;
  story.proxy.cuts = () => !isCut && (isCut = true);
  await orders.send("once?", { contentType: "text" });
  assert.equal((await story.stored()).length, 2);
});

test("kill -9 of the server between commit and answer doubles nothing", async () => {
  await using story = await open();
  const orders = story.client().queue<string>("orders");
  await orders.send("first", { contentType: "text" });
  const bodies = names(90, "order");
  for (let round = 0; round < 3; round += 1) {
    let isKilled = false;
    story.proxy.cuts = async () => {
      if (isKilled) return false;
      isKilled = true;
      await story.killAndRestart(); // it answered, so it is on disk; nobody hears of it
      return true;
    };
    const some = bodies.slice(round * 30, round * 30 + 30);
    await Promise.all([
      orders.sendBatch(some.slice(0, 10).map((body) => ({ body, contentType: "text" }))),
      ...some.slice(10).map(async (body) => await orders.send(body, { contentType: "text" })),
    ]);
    assert.ok(isKilled);
  }
  const stored = await story.stored();
  assert.deepEqual(stored.map(({ body }) => body).toSorted(), ["first", ...bodies].toSorted());
  assert.equal(new Set(stored.map(({ id }) => id)).size, stored.length);
  const accounting = await story.server.result<{ holds: boolean; accepted: number }>(
    "GET",
    `/millrace/queues/${story.queue}/accounting?deep=true`,
  );
  assert.deepEqual([accounting.holds, accounting.accepted], [true, 91]);
});
