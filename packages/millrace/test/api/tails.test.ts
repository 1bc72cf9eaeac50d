// Tails over a WebSocket, from the standard's client and from one that sends like wrangler.
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import type { Socket } from "node:net";
import { test } from "node:test";

import { WebSocket } from "ws";
import { ApiHarness, refusal } from "./api-harness.ts";
import { uploadWorker } from "./upload.ts";

const trace = {
  scriptName: "my-app",
  outcome: "ok",
  eventTimestamp: 1,
  event: { queue: "events", batchSize: 2 },
  logs: [{ message: ["hello"], level: "log", timestamp: 1 }],
  exceptions: [],
};

interface Tail {
  readonly id: string;
  readonly url: string;
  readonly expires_at: string;
}

/** Calls over the network, so that the tail's url names the server's own address. */
async function openTail(harness: ApiHarness, filters: readonly object[] = []): Promise<Tail> {
  const reply = await harness.call(
    "POST",
    "/workers/scripts/my-app/tails",
    { filters },
    { headers: { host: await addressOf(harness) } },
  );
  assert.equal(reply.status, 200, reply.message);
  return reply.result as Tail;
}

async function addressOf(harness: ApiHarness): Promise<string> {
  if (!harness.api.server.server.listening) await harness.api.listen({ host: "127.0.0.1", port: 0 });
  const address = harness.api.server.server.address();
  assert.ok(typeof address === "object" && address !== null);
  return `127.0.0.1:${address.port}`;
}

test("a tail shows its Worker's invocations and ends when it is deleted", async () => {
  await using harness = await ApiHarness.open();
  await uploadWorker(harness, "my-app");
  const { id, url } = await openTail(harness);
  const socket = new WebSocket(url, "trace-v1");
  await once(socket, "open");
  assert.equal(socket.protocol, "trace-v1");
  harness.host.trace({ ...trace, scriptName: "other" });
  harness.host.trace(trace);
  const [data] = (await once(socket, "message")) as [Buffer];
  assert.deepEqual(JSON.parse(data.toString()), trace);
  socket.ping("still there?");
  assert.equal(((await once(socket, "pong")) as [Buffer])[0].toString(), "still there?");
  await harness.must("DELETE", `/workers/scripts/my-app/tails/${id}`);
  const [code] = (await once(socket, "close")) as [number];
  assert.equal(code, 1000);
  assert.deepEqual(await harness.must("GET", "/workers/scripts/my-app/tails"), []);
  assert.equal(harness.host.watchers, 0);
});

test("a first frame without a mask is accepted", async () => {
  await using harness = await ApiHarness.open();
  await uploadWorker(harness, "my-app");
  const { url } = await openTail(harness);
  const socket = await rawUpgrade(url);
  const frame = '{"debug":false}';
  socket.write(Buffer.concat([Buffer.from([0x81, frame.length]), Buffer.from(frame)]));
  // The answer to a ping shows that the frame before it was read and forgiven.
  socket.write(Buffer.from([0x89, 0x00]));
  const [pong] = (await once(socket, "data")) as [Buffer];
  assert.deepEqual([...pong], [0x8a, 0x00]);
  harness.host.trace(trace);
  const [shown] = (await once(socket, "data")) as [Buffer];
  assert.equal(shown[0], 0x81);
  socket.destroy();
});

async function rawUpgrade(url: string): Promise<Socket> {
  const { hostname, port, pathname, host } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.write(
    `GET ${pathname} HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: trace-v1\r\n\r\n`,
  );
  const [head] = (await once(socket, "data")) as [Buffer];
  assert.match(head.toString(), /^HTTP\/1\.1 101 .*Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=\r\n.*trace-v1/s);
  return socket;
}

test("a frame larger than any client sends ends the tail", async () => {
  await using harness = await ApiHarness.open();
  await uploadWorker(harness, "my-app");
  const { url } = await openTail(harness);
  const socket = await rawUpgrade(url);
  socket.write(Buffer.from([0x81, 127, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]));
  const [goodbye] = (await once(socket, "data")) as [Buffer];
  assert.deepEqual([goodbye[0], goodbye.readUInt16BE(2)], [0x88, 1009]);
  socket.destroy();
});

test("an unknown tail is 404, and other upgrades are ordinary requests", async () => {
  await using harness = await ApiHarness.open();
  const host = await addressOf(harness);
  const socket = new WebSocket(`ws://${host}/client/v4/tails/${"0".repeat(32)}`);
  const [error] = (await once(socket, "error")) as [Error];
  assert.match(error.message, /404/);
  const [address, port] = host.split(":");
  const plain = connect(Number(port), address);
  plain.write(
    `GET /healthz HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n`,
  );
  const [answer] = (await once(plain, "data")) as [Buffer];
  assert.match(answer.toString(), /^HTTP\/1\.1 200 /);
  plain.destroy();
});

test("filters choose what is shown; unknown ones are refused", async () => {
  await using harness = await ApiHarness.open();
  await uploadWorker(harness, "my-app");
  const { url } = await openTail(harness, [{ outcome: ["exception"] }, { query: "bad" }, { sampling_rate: 1 }]);
  const socket = new WebSocket(url, "trace-v1");
  await once(socket, "open");
  harness.host.trace(trace);
  harness.host.trace({ ...trace, outcome: "exception" });
  harness.host.trace({ ...trace, outcome: "exception", logs: [{ message: ["bad"] }] });
  const [data] = (await once(socket, "message")) as [Buffer];
  assert.deepEqual((JSON.parse(data.toString()) as typeof trace).logs, [{ message: ["bad"] }]);
  socket.terminate();
  for (const filters of [[{ colour: "red" }], [7], "x"]) {
    assert.equal(refusal(await harness.call("POST", "/workers/scripts/my-app/tails", { filters })), "400 10026");
  }
});

test("a Worker has ten tails at the most", async () => {
  await using harness = await ApiHarness.open();
  await uploadWorker(harness, "my-app");
  for (let count = 0; count < 10; count += 1) await harness.must("POST", "/workers/scripts/my-app/tails");
  const reply = await harness.call("POST", "/workers/scripts/my-app/tails");
  assert.equal(reply.status, 429);
  assert.equal(reply.headers["x-should-retry"], "false");
});
