// `localhost` and its addresses.
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { test } from "node:test";

import { Listeners } from "../../src/api/listeners.ts";
import { ApiHarness } from "./api-harness.ts";
import { post } from "./wire.ts";

const skip = process.platform === "linux" ? false : "only Linux has a second loopback address for certain";

test("every address of localhost is the same server, down to the fast lane", { skip }, async () => {
  await using harness = await ApiHarness.open();
  const queue = await harness.queue("jobs");
  let met = 0;
  harness.api.server.server.on("request", () => (met += 1));
  const addresses = ["127.0.0.1", "127.0.0.2", "203.0.113.1"].map((address) => ({ address }));
  const listeners = new Listeners(harness.api.server, async () => await Promise.resolve(addresses));
  const url = await listeners.open({ host: "localhost", port: 0 });
  const { port } = harness.api.server.server.address() as AddressInfo;
  assert.equal(url, `http://127.0.0.1:${port}`);

  const ask = async (host: string, bytes: string): Promise<string> =>
    await new Promise((resolve, reject) => {
      const socket = connect(port, host, () => socket.end(bytes));
      let text = "";
      socket.setEncoding("latin1").on("data", (piece: string) => (text += piece));
      socket.on("error", reject).on("close", () => resolve(text));
    });
  for (const host of ["127.0.0.1", "127.0.0.2"]) {
    assert.match(await ask(host, post(`${queue}/messages`, '{"body":1}')), /^HTTP\/1\.1 200 OK\r\n/);
    assert.equal(met, 0, "pushes come past node:http's requests");
    assert.match(await ask(host, "BREW / HTTP/1.1\r\n\r\n"), /"code":10026/, "refusals have the envelope");
  }

  const kept = connect(port, "127.0.0.2");
  await new Promise((resolve) => kept.once("connect", resolve));
  kept.write(post(`${queue}/messages`, '{"body":1}'));
  await new Promise((resolve) => kept.once("data", resolve));
  const ended = new Promise((resolve) => kept.once("close", resolve));
  await Promise.all([harness.api.close(), listeners[Symbol.asyncDispose](), ended]);
});

test("a second address of localhost whose port another program has is an error that names it", { skip }, async () => {
  await using harness = await ApiHarness.open();
  const other = createServer().listen(0, "127.0.0.2");
  try {
    await once(other, "listening");
    const { port } = other.address() as AddressInfo;
    const addresses = ["127.0.0.1", "127.0.0.2"].map((address) => ({ address }));
    await using listeners = new Listeners(harness.api.server, async () => await Promise.resolve(addresses));
    await assert.rejects(listeners.open({ host: "localhost", port }), {
      code: "EADDRINUSE",
      address: "127.0.0.2",
      port,
    });
  } finally {
    other.close();
  }
});
