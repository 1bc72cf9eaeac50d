// What a connection in front of node:http takes, how long it is kept, and how it ends.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { connectBoth, countIn, gone, holdSends, open, until } from "./plain-connections-harness.ts";
import { post } from "./wire.ts";
import { adminToken } from "./api-harness.ts";

test("a client that goes away while its messages are being stored harms nobody", async () => {
  await using opened = await open();
  const { harness, wire, queue } = opened;
  const { client, server } = await connectBoth(opened);
  const { begun, go } = holdSends(harness);
  const push = post(`${queue}/messages`, '{"body":1}');
  client.write(push + push);
  await begun;
  const closed = gone(server);
  client.resetAndDestroy();
  await closed;
  go();
  assert.deepEqual((await wire.exchange(push)).statuses, [200]);
  assert.equal(harness.log.events.filter(({ level }) => level === "error").length, 0);
});

test("nothing more is taken from a client that does not read its answers", async () => {
  await using opened = await open();
  const { harness, queue } = opened;
  for (let count = 0; count < 10; count += 1) {
    const large = { body: "x".repeat(120_000), content_type: "text" };
    await harness.must("POST", `${queue}/messages/batch`, { messages: [large, large] });
  }
  let sends = 0;
  const send = harness.engine.send.bind(harness.engine);
  harness.engine.send = async (...call) => {
    sends += 1;
    return await send(...call);
  };
  const { client, server, text } = await connectBoth(opened);
  client.pause();
  const peeks = 20;
  client.write(post(`${queue}/messages/peek`, '{"batch_size":20}').repeat(peeks));
  await until(() => server.writableNeedDrain);
  const push = post(`${queue}/messages`, '{"body":1}');
  const pushes = 1_000;
  client.write(push.repeat(pushes));
  await until(() => server.isPaused());
  assert.equal(sends, 0);
  assert.ok(server.bytesRead < push.length * pushes, "the rest waits in the kernel");
  client.resume();
  await until(() => countIn(text().slice(-200_000)) > 0 && sends === pushes);
  await until(() => countIn(text()) === peeks + pushes);
  client.destroy();
});

for (const [where, before] of [
  ["in front of node:http", ""],
  ["in node:http", "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"],
] as const) {
  test(`of answers with messages' bodies a connection has one in the making, ${where}`, async () => {
    await using opened = await open();
    const { harness, queue, seen } = opened;
    let [making, most] = [0, 0];
    const lease = harness.engine.lease.bind(harness.engine);
    harness.engine.lease = async (...call) => {
      making += 1;
      most = Math.max(most, making);
      await setImmediate();
      making -= 1;
      return await lease(...call);
    };
    const { client, text } = await connectBoth(opened);
    const pull = post(`${queue}/messages/pull`, '{"batch_size":1}');
    const push = post(`${queue}/messages`, '{"body":1}');
    client.write(before + (push + pull).repeat(20) + pull.repeat(100));
    const all = 140 + (before === "" ? 0 : 1);
    await until(() => countIn(text()) === all);
    assert.deepEqual([most, seen()], [1, before === "" ? 0 : all]);
    client.destroy();
  });
}

test("behind a request that waits, node:http takes no more than came with it", async () => {
  await using opened = await open();
  const { harness, queue, seen } = opened;
  const { client, server, text } = await connectBoth(opened);
  const look = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
  const pull = post(`${queue}/messages/pull`, '{"batch_size":1}', "Millrace-Wait-Seconds: 60\r\n");
  const looks = 20_000;
  client.write(look + pull + look.repeat(looks));
  await until(() => server.isPaused());
  assert.ok(seen() < looks / 2, "the rest waits in the kernel");
  await harness.must("POST", `${queue}/messages`, { body: 1 });
  await until(() => countIn(text()) === looks + 2);
  client.destroy();
});

test("idle connections are closed in time, and what is not whole in time is node:http's", async (context) => {
  context.mock.timers.enable({ apis: ["setInterval"] });
  await using opened = await open();
  const { harness, queue, seen } = opened;
  const { keepAliveTimeout } = harness.api.server.server;
  const push = post(`${queue}/messages`, '{"body":1}');
  const turn = (): void => context.mock.timers.tick(10_000);

  const idle = await connectBoth(opened);
  idle.client.write(push);
  await until(() => countIn(idle.text()) === 1);
  for (let passed = 0; passed < keepAliveTimeout; passed += 10_000) turn();
  assert.equal(idle.server.destroyed, false);
  const closed = gone(idle.client);
  turn();
  turn();
  await closed;

  const slow = await connectBoth(opened);
  const [head = ""] = push.split('{"body"');
  slow.client.write(`${head}{"bo`);
  await until(() => slow.server.bytesRead > 0);
  await setImmediate();
  turn();
  await setImmediate();
  assert.equal(seen(), 0);
  slow.client.write("d");
  turn();
  await until(() => seen() === 1);
  slow.client.write('y":1}');
  await until(() => countIn(slow.text()) === 1);
  slow.client.destroy();

  const fresh = await connectBoth(opened);
  turn();
  turn();
  fresh.client.write(push);
  await until(() => countIn(fresh.text()) === 1);
  assert.equal(seen(), 1);
  fresh.client.destroy();
});

test("a stopping server ends idle connections, finishes what is under way, and refuses what comes then", async () => {
  await using opened = await open();
  const { harness, queue, seen } = opened;
  const push = post(`${queue}/messages`, '{"body":1}');
  const idle = await connectBoth(opened);
  idle.client.write(push);
  await until(() => countIn(idle.text()) === 1);
  const part = await connectBoth(opened);
  part.client.write(push.slice(0, -1));
  await until(() => part.server.bytesRead > 0);
  await setImmediate();
  const { begun, go } = holdSends(harness);
  const busy = await connectBoth(opened);
  busy.client.write(push);
  const late = await connectBoth(opened);
  late.client.write(push);
  await begun;
  await until(() => late.server.bytesRead > 0);
  await setImmediate();
  const closed = [idle, part, busy, late].map(async ({ client }) => await gone(client));

  const stopped = harness.api.close();
  await closed[0];
  assert.equal(seen(), 1, "what is not whole is node:http's");
  part.client.destroy();
  late.client.write(push);
  go();
  await Promise.all([stopped, ...closed]);
  assert.match(busy.text(), /^HTTP\/1\.1 200 [^]*\r\nConnection: close\r\n/);
  assert.equal(countIn(late.text()), 1);
});

test("a token is asked for at every request of a connection", async () => {
  await using opened = await open();
  const { harness, queue } = opened;
  const token = { name: "brief", scopes: ["queues:write"] };
  const { id, value } = await harness.must<{ id: string; value: string }>("POST", "/millrace/tokens", token);
  const push = post(`${queue}/messages`, '{"body":1}').replace(adminToken, value);
  const { client, text } = await connectBoth(opened);
  for (const count of [1, 2]) {
    client.write(push);
    await until(() => countIn(text()) === count);
  }
  await harness.must("DELETE", `/millrace/tokens/${id}`);
  client.write(push);
  await until(() => text().includes("HTTP/1.1 403 "));
  client.destroy();
});

test("what a stopping server cannot finish is cut off after its grace", async (context) => {
  await using opened = await open();
  const { harness, queue } = opened;
  const { client } = await connectBoth(opened);
  const { begun, go } = holdSends(harness);
  client.write(post(`${queue}/messages`, '{"body":1}'));
  await begun;
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const [stopped, cut] = [harness.api.close(), gone(client)];
  context.mock.timers.tick(5_000);
  await Promise.all([stopped, cut]);
  go();
});
