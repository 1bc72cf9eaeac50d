// A port of a Worker's own: its workerd listens on it itself, through deploys, crashes and restarts.

import assert from "node:assert/strict";
import { once } from "node:events";
import { readdir, readlink } from "node:fs/promises";
import { createServer as createHttpServer, get } from "node:http";
import type { ServerResponse } from "node:http";
import { connect, createServer } from "node:net";
import type { AddressInfo, Server } from "node:net";
import { test } from "node:test";
import { Worker as Thread } from "node:worker_threads";
import { listenWorker } from "../../src/broker/index.ts";
import type { WorkerName } from "../../src/core/index.ts";
import { ListeningSocket } from "../../src/worker-host/listening-socket.ts";
import type { ClientsSaw, ConstantClients } from "./constant-clients.ts";
import { HostHarness, message } from "./host-harness.ts";

const app = "app" as WorkerName;
const answering = (text: string): string =>
  `export default { async fetch(request) { return new Response(${JSON.stringify(text)}); } };`;

interface Answer {
  readonly text: string;
  readonly closes: boolean;
}

/** One request; rejects when the connection breaks. */
async function ask(port: number, options: { path?: string; headers?: Record<string, string> } = {}): Promise<Answer> {
  const { path = "/", headers = {} } = options;
  return await new Promise<Answer>((resolve, reject) => {
    get({ host: "127.0.0.1", port, path, headers, agent: false }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => (text += chunk));
      response.on("end", () => resolve({ text, closes: response.headers.connection === "close" }));
      response.on("error", reject);
    }).on("error", reject);
  });
}

const textOf = async (port: number): Promise<string> => (await ask(port)).text;

/** Clients in a thread of their own, until `end`. */
function constantClients(plan: ConstantClients): { readonly end: () => Promise<ClientsSaw> } {
  const clients = new Thread(new URL("./constant-clients.ts", import.meta.url), { workerData: plan });
  clients.unref(); // a test that fails before `end` shall not wait for them
  const answer = once(clients, "message") as Promise<[ClientsSaw]>;
  return {
    end: async () => {
      clients.ref();
      clients.postMessage("end", []);
      const [saw] = await answer;
      return saw;
    },
  };
}

async function refused(port: number): Promise<boolean> {
  const socket = connect(port, "127.0.0.1");
  try {
    await once(socket, "connect");
    return false;
  } catch {
    return true;
  } finally {
    socket.destroy();
  }
}

/** Waits until a new connection is refused: the last process with the descriptor has ended. */
async function freed(port: number): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!(await refused(port))) assert.ok(Date.now() < deadline, "the port is still open");
}

/** Waits until the old version has left the port: until then it takes a share of the connections. */
async function leavingDone(port: number): Promise<void> {
  const deadline = Date.now() + 20_000;
  for (let inARow = 0; inARow < 20;) {
    inARow = (await textOf(port)) === "new" ? inARow + 1 : 0;
    assert.ok(Date.now() < deadline, "the old version still answers");
  }
}

const events = (harness: HostHarness, name: string): readonly Record<string, unknown>[] =>
  harness.log.events.filter(({ event }) => event === name).map(({ fields }) => fields as Record<string, unknown>);

test("a Worker answers on its own port whatever the host name, and through the shared port as before", async () => {
  await using harness = await HostHarness.open();
  await harness.deploy({ source: answering("one") });
  const port = await harness.listen();
  assert.equal(await textOf(port), "one");
  assert.equal((await ask(port, { headers: { host: "other.localhost" } })).text, "one");
  assert.equal(await harness.fetch("/"), "one");
  await harness.until(() => events(harness, "worker.listening").length > 0, "it is told");
  assert.deepEqual(events(harness, "worker.listening"), [{ worker: "app", url: `http://127.0.0.1:${port}` }]);
  assert.deepEqual(harness.host.portOf(app), {
    address: { host: "127.0.0.1", port },
    url: `http://127.0.0.1:${port}`,
    isOpen: true,
    problem: undefined,
  });
});

test("what a client claims about itself does not reach the Worker through its own port", async () => {
  await using harness = await HostHarness.open();
  await harness.deploy({
    source: `export default { fetch(request) { return Response.json({ url: request.url, headers: [...request.headers].map(([name]) => name) }); } };`,
  });
  const port = await harness.listen();
  const headers = { "CF-Connecting-IP": "1.2.3.4", "X-Forwarded-For": "1.2.3.4", "X-Forwarded-Proto": "https" };
  const seen = JSON.parse((await ask(port, { headers })).text) as { readonly url: string; readonly headers: string[] };
  assert.equal(seen.url, `https://127.0.0.1:${port}/`, "a proxy of this machine says how it was asked");
  assert.ok(!seen.headers.includes("cf-connecting-ip"), "anybody could have written it");
  assert.ok(seen.headers.includes("x-forwarded-for"));
});

test("where other machines can connect, nothing they say of where they come from is believed", async () => {
  await using harness = await HostHarness.open({}, undefined, undefined, true);
  await harness.deploy({
    source: `export default { fetch(request) { return Response.json({ url: request.url, headers: [...request.headers].map(([name]) => name) }); } };`,
  });
  const port = await harness.listen(0, { host: "0.0.0.0" });
  const headers = { "X-Real-IP": "1.2.3.4", "X-Forwarded-For": "1.2.3.4", "X-Forwarded-Proto": "https" };
  const seen = JSON.parse((await ask(port, { headers })).text) as { readonly url: string; readonly headers: string[] };
  assert.equal(seen.url, `http://127.0.0.1:${port}/`);
  assert.deepEqual(
    seen.headers.filter((name) => name.startsWith("x-")),
    [],
  );
});

test("a stored address that is open to other machines stays closed on a server that does not allow it", async () => {
  await using open = await HostHarness.open({}, undefined, undefined, true);
  await open.deploy({ source: answering("one") });
  const port = await open.listen(0, { host: "0.0.0.0" });
  assert.equal(await textOf(port), "one");
  await using harness = await HostHarness.over(open);
  await harness.until(() => events(harness, "worker.listenFailed").length > 0, "it is said");
  assert.match(String(events(harness, "worker.listenFailed")[0]?.["message"]), /without TLS/);
  await harness.until(() => harness.host.isReady(app), "it runs");
  assert.equal(await harness.fetch("/"), "one");
});

test("clients that ask without a pause are refused by no deploy on either port, and a kept connection breaks in none", async () => {
  await using harness = await HostHarness.open();
  await harness.deploy({ source: answering("version 0") });
  const port = await harness.listen();
  await harness.until(() => events(harness, "worker.listening").length > 0, "it is told");
  const own = constantClients({ port, kept: 4, fresh: 2 });
  const shared = constantClients({ port: (await harness.router()).port, kept: 2, fresh: 0 });
  for (let version = 1; version <= 5; version += 1) {
    const before = harness.host.describe(app)?.pid;
    await harness.deploy({ source: answering(`version ${version}`) }, { tried: true });
    await harness.until(
      () => events(harness, "worker.exited").some(({ pid }) => pid === before),
      "the version before has ended",
    );
    assert.equal(await textOf(port), `version ${version}`);
  }
  const saw = await own.end();
  assert.deepEqual(saw.failures, []);
  assert.ok(saw.openedAgain <= 5, `${saw.openedAgain} connections were closed just after they were opened`);
  const beside = await shared.end();
  assert.deepEqual(beside.failures, []);
  for (const { answers } of [saw, beside]) {
    assert.deepEqual(
      Object.keys(answers).filter((text) => !/^version \d$/.test(text)),
      [],
    );
  }
});

test("a version that was tried but not deployed answers nobody", async () => {
  await using harness = await HostHarness.open();
  await harness.deploy({ source: answering("deployed") });
  const port = await harness.listen();
  await harness.until(() => events(harness, "worker.listening").length > 0, "it is told");
  await harness.prepare({ source: answering("tried") });
  const texts = await Promise.all(Array.from({ length: 20 }, async () => await textOf(port)));
  assert.deepEqual([...new Set(texts)], ["deployed"]);
});

test("while a crashed process is replaced, connections wait instead of being refused", async () => {
  await using harness = await HostHarness.open();
  await harness.deploy({ source: answering("back") });
  const port = await harness.listen();
  await harness.until(() => events(harness, "worker.listening").length > 0, "it is told");
  const pid = harness.host.describe(app)?.pid ?? 0;
  process.kill(pid, "SIGKILL");
  await harness.until(
    () => events(harness, "worker.exited").some((fields) => fields["pid"] === pid),
    "its end is noticed",
  );
  const answers = await Promise.all(Array.from({ length: 10 }, async () => await textOf(port)));
  assert.deepEqual([...new Set(answers)], ["back"]);
});

test("a request under way when another version takes over is answered by the version that has it", async () => {
  const asked = Promise.withResolvers<ServerResponse>();
  const gate = createHttpServer((_request, response) => asked.resolve(response)).listen(0, "127.0.0.1");
  await once(gate, "listening");
  await using harness = await HostHarness.open();
  const url = `http://127.0.0.1:${(gate.address() as AddressInfo).port}/`;
  await harness.deploy({
    source: `export default { async fetch(request) {
      if (request.url.endsWith("/slow")) await (await fetch("${url}")).text();
      return new Response("old");
    } };`,
  });
  const port = await harness.listen();
  const answer = ask(port, { path: "/slow" });
  const response = await asked.promise;
  await harness.deploy({ source: answering("new") });
  await leavingDone(port);
  assert.equal(await textOf(port), "new");
  response.end();
  assert.deepEqual(await answer, { text: "old", closes: true });
  gate.close();
});

test("a batch under way when its process leaves the port comes to its end", async () => {
  const asked = Promise.withResolvers<ServerResponse>();
  const gate = createHttpServer((_request, response) => asked.resolve(response)).listen(0, "127.0.0.1");
  await once(gate, "listening");
  await using harness = await HostHarness.open();
  const url = `http://127.0.0.1:${(gate.address() as AddressInfo).port}/`;
  await harness.deploy({
    source: `export default {
      fetch() { return new Response("old"); },
      async queue(batch) { await (await fetch("${url}")).text(); batch.ackAll(); },
    };`,
  });
  const port = await harness.listen();
  await harness.until(() => events(harness, "worker.listening").length > 0, "it is told");
  const outcome = harness.deliver([message("x")]);
  const response = await asked.promise;
  await harness.deploy({ source: answering("new") });
  await leavingDone(port);
  response.end();
  const { kind, ...rest } = await outcome;
  assert.equal(kind, "completed", JSON.stringify(rest));
  gate.close();
});

test("a Worker in the older script format, and one whose handler is a class, have ports too", async () => {
  await using harness = await HostHarness.open();
  await harness.deploy({
    name: "script",
    kind: "service-worker",
    source: `addEventListener("fetch", (event) => event.respondWith(new Response("script")));`,
  });
  await harness.deploy({
    name: "class",
    source: `import { WorkerEntrypoint } from "cloudflare:workers";
      export default class extends WorkerEntrypoint { fetch() { return new Response("class of " + this.constructor.name); } }
      export class Other extends WorkerEntrypoint {}`,
  });
  await harness.deploy({
    name: "frozen",
    source: `export default Object.freeze({ fetch() { return new Response("frozen"); } });`,
  });
  for (const worker of ["script", "class", "frozen"]) {
    const port = await harness.listen(0, { worker });
    assert.match(await textOf(port), new RegExp(`^${worker}`));
    const before = harness.host.describe(worker as WorkerName)?.pid;
    await harness.unlisten(worker as WorkerName);
    await harness.until(() => harness.host.describe(worker as WorkerName)?.pid !== before, "it has another process");
    await freed(port);
  }
});

test("another port takes the place of the first; without one, and when the Worker is deleted, the port is free", async () => {
  await using harness = await HostHarness.open();
  await harness.deploy({ source: answering("one") });
  const first = await harness.listen();
  assert.equal(await textOf(first), "one");
  const second = await harness.listen();
  assert.equal(await textOf(second), "one");
  await freed(first);
  await harness.unlisten();
  await freed(second);
  const third = await harness.listen(second);
  assert.equal(await textOf(third), "one");
  await harness.remove("app");
  await freed(third);
  assert.equal(events(harness, "worker.listenEnded").length, 3);
});

test("a port that cannot be opened is refused with the reason", async () => {
  await using harness = await HostHarness.open();
  await harness.deploy({ source: answering("one") });
  await harness.deploy({ name: "other", source: answering("two") });
  const router = await harness.router();
  await assert.rejects(harness.listen(router.port), { code: "PORT_UNAVAILABLE", detail: /in use by another program/ });
  await assert.rejects(harness.listen(0, { host: "0.0.0.0" }), { code: "HOST_NOT_LOOPBACK" });
  await assert.rejects(harness.listen(0, { host: "127.0.0.1.example.invalid" }), { code: "HOST_NOT_LOOPBACK" });
  const port = await harness.listen();
  await assert.rejects(harness.listen(port, { worker: "other" }), { code: "PORT_UNAVAILABLE" });
  assert.equal(await harness.listen(port), port, "its own port may be given to it again");
});

/** A host whose Worker shall have a port that somebody else has, on which it was started. */
async function openWithTakenPort(portRetryMs: number): Promise<{ harness: HostHarness; port: number; taker: Server }> {
  const taker = createServer().listen(0, "127.0.0.1");
  await once(taker, "listening");
  const { port } = taker.address() as AddressInfo;
  const harness = await HostHarness.open({ portRetryMs });
  const { version } = await harness.version({ source: answering("one") });
  await harness.store(version);
  await harness.controlPlane.change("test", (view, context) =>
    listenWorker(view, context, { name: app, listen: { host: "127.0.0.1", port } }),
  );
  await harness.until(() => events(harness, "worker.listenFailed").length > 0, "it is said");
  return { harness, port, taker };
}

test("a port taken by somebody else at the start is said, the Worker runs without it, and gets it as soon as it is free", async () => {
  const { harness: opened, port, taker } = await openWithTakenPort(20);
  await using harness = opened;
  assert.deepEqual(events(harness, "worker.listenFailed")[0], {
    worker: "app",
    url: `http://127.0.0.1:${port}`,
    message: `Port ${port} is in use by another program`,
    retry_in_ms: 20,
  });
  assert.equal(harness.host.portOf(app)?.isOpen, false);
  assert.equal(await harness.fetch("/"), "one");
  taker.close();
  await harness.until(() => events(harness, "worker.listening").length > 0, "it has the port");
  assert.equal(await textOf(port), "one");
  assert.equal(events(harness, "worker.listenFailed").length, 1, "said once");
});

test("a port that could not be opened is opened at once when it is asked for again", async () => {
  const { harness: opened, port, taker } = await openWithTakenPort(3_600_000);
  await using harness = opened;
  await assert.rejects(harness.listen(port), { code: "PORT_UNAVAILABLE" });
  const closed = once(taker, "close");
  taker.close();
  await closed;
  assert.equal(await harness.listen(port), port);
  assert.equal(await textOf(port), "one");
});

test("a process has the descriptor of its own Worker's port and no other", { skip: linuxOnly() }, async () => {
  await using harness = await HostHarness.open();
  await harness.deploy({ source: answering("one") });
  await harness.deploy({ name: "other", source: answering("two") });
  const port = await harness.listen();
  assert.equal(await textOf(port), "one");
  await harness.deploy({ name: "other", source: answering("three") });
  await harness.until(() => events(harness, "worker.listening").length > 0, "it is told");
  const own = await socketsOf(process.pid);
  const shared = (sockets: ReadonlySet<string>): string[] => [...sockets].filter((socket) => own.has(socket));
  assert.equal(shared(await socketsOf(harness.host.describe(app)?.pid ?? 0)).length, 1);
  assert.deepEqual(shared(await socketsOf(harness.host.describe("other" as WorkerName)?.pid ?? 0)), []);
});

test("nobody accepts on a listening socket that was given to no process", async () => {
  const socket = await ListeningSocket.open({ host: "127.0.0.1", port: 0 });
  const client = connect(socket.address.port, "127.0.0.1");
  await once(client, "connect"); // by the kernel
  client.on("error", () => undefined); // reset, as nobody took it
  const ended = new Promise<void>((resolve) => client.once("close", () => resolve()));
  client.write("hello");
  await socket[Symbol.asyncDispose]();
  await ended;
  assert.ok(await refused(socket.address.port));
});

function linuxOnly(): string | false {
  return process.platform === "linux" ? false : "descriptors are looked at through /proc";
}

/** Sockets a process has, by the kernel's number. */
async function socketsOf(pid: number): Promise<ReadonlySet<string>> {
  const found = new Set<string>();
  for (const name of await readdir(`/proc/${pid}/fd`)) {
    try {
      const target = await readlink(`/proc/${pid}/fd/${name}`);
      if (target.startsWith("socket:")) found.add(target);
    } catch {
      // Closed meanwhile.
    }
  }
  return found;
}
