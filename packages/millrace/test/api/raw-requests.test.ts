// Requests as no library writes them: over a bare socket, byte for byte.
import assert from "node:assert/strict";
import { setImmediate } from "node:timers/promises";
import { test } from "node:test";

import { ApiHarness } from "./api-harness.ts";
import { account, authorization, envelopeIn, post, Wire } from "./wire.ts";

test("a client that closes its half after the request still gets the answer", async () => {
  await using harness = await ApiHarness.open();
  const wire = await Wire.open(harness);
  const commit = harness.engine.catalog.commit.bind(harness.engine.catalog);
  harness.engine.catalog.commit = async (change) => {
    for (let turn = 0; turn < 50; turn += 1) await setImmediate(); // as long as a disk may take
    return await commit(change);
  };
  const created = await wire.exchange(post("/queues", '{"queue_name":"half"}'));
  assert.deepEqual([created.statuses, envelopeIn(created).success], [[200], true]);
  const two = await wire.exchange(post("/queues", '{"queue_name":"one"}') + post("/queues", '{"queue_name":"two"}'));
  assert.deepEqual(two.statuses, [200, 200]);
  const chunked = `POST ${account}/queues HTTP/1.1\r\nHost: x\r\n${authorization}Transfer-Encoding: chunked\r\n\r\n`;
  const pieces = '11\r\n{"queue_name":"ch\r\n6\r\nunks"}\r\n0\r\n\r\n';
  assert.deepEqual((await wire.exchange(chunked + pieces)).statuses, [200]);
  const expecting = await wire.exchange(post("/queues", '{"queue_name":"expected"}', "Expect: 100-continue\r\n"));
  assert.deepEqual(expecting.statuses, [100, 200]);
});

test("a long poll of a client that closes its half is answered then", async () => {
  await using harness = await ApiHarness.open();
  const wire = await Wire.open(harness);
  const queue = await harness.queue("jobs");
  await harness.must("POST", `${queue}/consumers`, { type: "http_pull" });
  const poll = post(`${queue}/messages/pull`, "{}", "Millrace-Wait-Seconds: 60\r\n");

  const { promise: waits, resolve } = Promise.withResolvers<void>();
  const lease = harness.engine.lease.bind(harness.engine);
  harness.engine.lease = async (...call) => {
    const batch = await lease(...call);
    resolve();
    return batch;
  };
  const waited = await wire.exchange(poll, { halfClose: waits });
  assert.deepEqual(waited.statuses, [200]);
  assert.match(waited.text, /"messages":\[\]/);

  await harness.must("POST", `${queue}/messages`, { body: 1 });
  const atOnce = await wire.exchange(poll);
  assert.deepEqual(atOnce.statuses, [200]);
  assert.match(atOnce.text, /"attempts":1/, "what is there is given all the same");
  assert.match((await wire.exchange(poll)).text, /"messages":\[\]/);
});

test("a request behind one that asks for another protocol is answered, or the connection ends", async () => {
  await using harness = await ApiHarness.open();
  const wire = await Wire.open(harness);
  const upgrade = "Connection: Upgrade\r\nUpgrade: h2c\r\n";
  const first = post("/queues", '{"queue_name":"one"}', upgrade);
  const exchange = await wire.exchange(first + post("/queues", '{"queue_name":"two"}'));
  assert.deepEqual(exchange.statuses, [200]);
  assert.match(exchange.text, /\r\nconnection: close\r\n/i);
  const next = await wire.exchange(
    post("/queues", '{"queue_name":"three"}') + post("/queues", '{"queue_name":"four"}'),
  );
  assert.deepEqual(next.statuses, [200, 200]);
  assert.doesNotMatch(next.text, /\r\nconnection: close\r\n/i);
});

test("what HTTP itself refuses comes in the envelope too", async () => {
  await using harness = await ApiHarness.open();
  const wire = await Wire.open(harness);
  for (const [bytes, status, code] of [
    [`GET ${account}/queues HTTP/1.1\r\n${authorization}\r\n`, 400, 10_026], // no host
    [post("/queues", "{}", "Expect: magic\r\n"), 417, 10_026],
    [`CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n`, 404, 7003],
    [`BREW ${account}/queues HTTP/1.1\r\nHost: x\r\n\r\n`, 400, 10_026],
    [`GET ${account}/queues HTTP/1.1\nHost: x\n\n`, 400, 10_026],
    [`GET ${account}/queues\0 HTTP/1.1\r\nHost: x\r\n\r\n`, 400, 10_026],
    [`GET ${account}/queues HTTP/1.1\r\nHost: x\r\nX: ${"y".repeat(20_000)}\r\n\r\n`, 431, 10_026],
    [`POST ${account}/queues HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}`, 400, 10_026],
    [post("/queues", "{}").replace("Length: 2", "Length: 50"), 400, 10_026], // ends too early
    ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, 10_026],
    ["\u0016\u0003\u0001\u0002\u0000\u0001\u0000", 400, 10_026], // TLS
  ] as const) {
    const exchange = await wire.exchange(bytes);
    assert.deepEqual(exchange.statuses, [status], JSON.stringify(bytes.slice(0, 60)));
    const { success, errors } = envelopeIn(exchange);
    assert.deepEqual([success, errors[0]?.code], [false, code], JSON.stringify(bytes.slice(0, 60)));
    assert.match(exchange.text, /\r\ncontent-type: application\/json\r\n/i);
  }
  assert.deepEqual((await wire.exchange("GET /healthz HTTP/1.0\r\n\r\n")).statuses, [200]);
});
