// The way in for users of Workers: which Worker a request goes to, and that it gets there whole.

import assert from "node:assert/strict";
import { once } from "node:events";
import { request as httpRequest } from "node:http";
import type { IncomingMessage } from "node:http";
import { test } from "node:test";
import { request } from "undici";
import { WebSocket } from "ws";
import type { WorkerName } from "../../src/core/index.ts";
import { HostHarness, message } from "./host-harness.ts";

const hello = (name: string): string => `export default { fetch() { return new Response("${name}"); } }`;

async function get(port: number, host: string, path = "/"): Promise<readonly [number, string]> {
  const response = await request(`http://127.0.0.1:${port}${path}`, { headers: { host } });
  return [response.statusCode, (await response.body.text()).trimEnd()];
}

test("the host name says which Worker; a single one takes everything else", async () => {
  await using harness = await HostHarness.open();
  const { port, url } = await harness.router();
  assert.equal(url, `http://localhost:${port}`);
  assert.deepEqual(await get(port, "localhost"), [503, "No Worker is deployed. Deploy one: millrace wrangler deploy."]);

  await harness.deploy({ name: "one", source: hello("1") });
  for (const host of [`one.localhost:${port}`, "ONE.LOCALHOST", "localhost", "127.0.0.1", "shop.example.com"]) {
    assert.deepEqual(await get(port, host), [200, "1"], host);
  }
  assert.deepEqual(await get(port, "none.localhost"), [404, "There is no Worker named none. Deployed: one."]);

  await harness.deploy({ name: "two", source: hello("2") });
  assert.deepEqual(await get(port, `two.localhost:${port}`), [200, "2"]);
  const [status, text] = await get(port, "localhost");
  assert.equal(status, 404);
  assert.equal(
    text,
    `Several Workers are deployed; name one, for example http://one.localhost:${port}, or start with --default-worker. Deployed: one, two.`,
  );
  assert.equal(harness.host.describe("two" as WorkerName)?.url, `http://two.localhost:${port}`);
});

test("the default Worker takes what names none", async () => {
  await using harness = await HostHarness.open();
  const { port } = await harness.router("two");
  await harness.deploy({ name: "one", source: hello("1") });
  assert.deepEqual(await get(port, "localhost"), [503, "The default Worker two is not deployed. Deployed: one."]);
  await harness.deploy({ name: "two", source: hello("2") });
  assert.deepEqual(await get(port, "localhost"), [200, "2"]);
});

test("a request waits for a Worker that is just starting again, and is told when that takes too long", async () => {
  await using harness = await HostHarness.open({ requestWaitMs: 20_000 });
  const { port } = await harness.router();
  await harness.deploy({ source: hello("back") });
  process.kill(harness.host.describe("app" as WorkerName)?.pid ?? 0, "SIGKILL");
  await harness.until(() => !harness.host.isReady("app" as WorkerName), "its end is noticed");
  assert.deepEqual(await get(port, "localhost"), [200, "back"]);

  await using impatient = await HostHarness.open({ requestWaitMs: 1 });
  const { port: other } = await impatient.router();
  const { version } = await impatient.version({ source: "throw new Error('broken')" });
  await impatient.store(version);
  await impatient.until(
    () => impatient.host.describe("app" as WorkerName)?.state === "crashed",
    "the start has failed",
  );
  const [status, text] = await get(other, "localhost");
  assert.equal(status, 503);
  assert.match(text, /^Worker app does not start; it is tried again\. Uncaught Error: broken/);
});

const inspector = `export default { async fetch(request) {
  const url = new URL(request.url);
  if (url.pathname === "/nothing") return new Response(null, { status: 204 });
  if (url.pathname === "/throw") throw new Error("thrown in fetch");
  const headers = new Headers({ "x-two": "a" });
  headers.append("set-cookie", "a=1"); headers.append("set-cookie", "b=2");
  return Response.json({ method: request.method, url: request.url, headers: Object.fromEntries(request.headers), body: await request.text() },
    { status: 418, statusText: "Teapot Indeed", headers });
} };`;

test("method, path, headers, body and answer pass through; the sender cannot pretend to be another", async () => {
  await using harness = await HostHarness.open();
  const { port } = await harness.router();
  await harness.deploy({ source: inspector });
  const response = await request(`http://127.0.0.1:${port}/a/b?c=%20d`, {
    method: "PATCH",
    body: "the body",
    headers: { host: "app.localhost", "cf-connecting-ip": "6.6.6.6" },
  });
  const seen = (await response.body.json()) as {
    readonly headers: Record<string, string>;
    readonly [field: string]: unknown;
  };
  assert.equal(response.statusCode, 418);
  assert.equal(response.statusText, "Teapot Indeed");
  assert.deepEqual(response.headers["set-cookie"], ["a=1", "b=2"]);
  assert.equal(response.headers["x-two"], "a");
  assert.deepEqual(
    [seen["method"], seen["url"], seen["body"]],
    ["PATCH", "http://app.localhost/a/b?c=%20d", "the body"],
  );
  assert.equal(seen.headers["cf-connecting-ip"], "127.0.0.1");

  const proxied = await request(`http://127.0.0.1:${port}/`, {
    headers: { host: "app.localhost", "x-forwarded-for": "6.6.6.6, 9.8.7.6", "x-forwarded-proto": "https" },
  });
  const behind = (await proxied.body.json()) as { readonly url: string; readonly headers: Record<string, string> };
  assert.equal(behind.url, "https://app.localhost/", "a proxy on this machine is believed");
  assert.equal(behind.headers["cf-connecting-ip"], "9.8.7.6");
  assert.equal(behind.headers["x-forwarded-for"], "6.6.6.6, 9.8.7.6, 127.0.0.1");
});

test("headers about the connection alone stay behind", async () => {
  await using harness = await HostHarness.open();
  const { port } = await harness.router();
  await harness.deploy({ source: inspector });
  const headers = { host: "app.localhost", connection: "x-hop, close", "x-hop": "1", "x-end": "2", te: "trailers" };
  const outgoing = httpRequest({ port, host: "127.0.0.1", headers });
  outgoing.end();
  const [incoming] = (await once(outgoing, "response")) as [IncomingMessage];
  const seen = JSON.parse(Buffer.concat(await incoming.toArray()).toString()) as { headers: Record<string, string> };
  assert.deepEqual([seen.headers["x-hop"], seen.headers["te"], seen.headers["x-end"]], [undefined, undefined, "2"]);
});

test("answers without a body, to HEAD and from a handler that throws", async () => {
  await using harness = await HostHarness.open();
  const { port } = await harness.router();
  await harness.deploy({ source: inspector });
  assert.deepEqual(await get(port, "localhost", "/nothing"), [204, ""]);
  const head = await request(`http://127.0.0.1:${port}/`, { method: "HEAD" });
  assert.deepEqual([head.statusCode, await head.body.text()], [418, ""]);
  assert.equal((await get(port, "localhost", "/throw"))[0], 500);
  const error = await harness.error("thrown in fetch");
  assert.deepEqual([error.handler, error.name], ["fetch", "Error"]);
  assert.match(error.stack ?? "", /at Object\.fetch \(index\.js:4:/);
});

test("bodies stream in both directions at the same time", async () => {
  await using harness = await HostHarness.open();
  const { port } = await harness.router();
  await harness.deploy({
    source: `export default { fetch(request) {
      const upper = new TransformStream({ transform(chunk, out) { out.enqueue(new TextEncoder().encode(new TextDecoder().decode(chunk).toUpperCase())); } });
      return new Response(request.body.pipeThrough(upper));
    } }`,
  });
  const outgoing = httpRequest({ port, host: "127.0.0.1", method: "POST", headers: { host: "app.localhost" } });
  outgoing.write("first ");
  const [incoming] = (await once(outgoing, "response")) as [IncomingMessage];
  incoming.setEncoding("utf8");
  assert.deepEqual(await once(incoming, "data"), ["FIRST "], "it answers before the request has ended");
  outgoing.write("second");
  assert.deepEqual(await once(incoming, "data"), ["SECOND"]);
  outgoing.end();
  await once(incoming, "end");
});

test("a stream that is silent at first shows its head at once; hanging up ends it in the Worker", async () => {
  await using harness = await HostHarness.open();
  const { port } = await harness.router();
  await harness.deploy({
    source: `export default { fetch(request, env, ctx) {
      const { readable, writable } = new TransformStream();
      const writer = writable.getWriter();
      (async () => { try { for (;;) { await new Promise((done) => setTimeout(done, 10)); if (globalThis.go) await writer.write(new TextEncoder().encode("tick")); } } catch { console.log("hung up"); } })();
      if (request.url.endsWith("/go")) { globalThis.go = true; return new Response("going"); }
      return new Response(readable, { headers: { "content-type": "text/event-stream" } });
    } }`,
  });
  const stream = await request(`http://127.0.0.1:${port}/`);
  assert.equal(stream.headers["content-type"], "text/event-stream");
  stream.body.on("error", () => undefined);
  stream.body.destroy();
  assert.deepEqual(await get(port, "localhost", "/go"), [200, "going"]);
});

test("WebSockets pass through", async () => {
  await using harness = await HostHarness.open();
  const { port } = await harness.router();
  await harness.deploy({
    source: `export default { fetch(request) {
      if (request.headers.get("upgrade") !== "websocket") return new Response("no", { status: 426 });
      const [client, server] = Object.values(new WebSocketPair());
      server.accept();
      server.addEventListener("message", ({ data }) => server.send("echo " + data));
      return new Response(null, { status: 101, webSocket: client });
    } }`,
  });
  const socket = new WebSocket(`ws://127.0.0.1:${port}/chat`, { headers: { host: "app.localhost" } });
  await once(socket, "open");
  socket.send("hello");
  const [data] = (await once(socket, "message")) as [Buffer];
  assert.equal(data.toString(), "echo hello");
  socket.close();
  await once(socket, "close");

  const lost = new WebSocket(`ws://127.0.0.1:${port}/`, { headers: { host: "none.localhost" } });
  const [error] = (await once(lost, "error")) as [Error];
  assert.match(error.message, /404/);
});

test("closing waits for requests under way, not for their connections", { timeout: 60_000 }, async () => {
  await using harness = await HostHarness.open();
  const router = await harness.router();
  await harness.deploy({
    source: `let released = false;
    export default {
      async fetch() {
        console.log("began");
        while (!released) await new Promise((done) => setTimeout(done, 5));
        return new Response("answered");
      },
      queue() { released = true; },
    }`,
  });
  const answer = get(router.port, "localhost");
  await harness.line("began");
  const closed = router.close(600_000);
  await harness.deliver([message("x")]);
  assert.deepEqual(await answer, [200, "answered"]);
  await closed;
});
