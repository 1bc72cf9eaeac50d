// The socket that Workers' queue bindings speak to, spoken to by hand: what no runtime sends, and bytes that come in other pieces.

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { ControlPlane, createQueue, Intake } from "../../src/broker/index.ts";
import { defaultQueueSettings, parseQueueName } from "../../src/contract/index.ts";
import type { QueueRecord, StorageEngine, WorkerName } from "../../src/core/index.ts";
import { openMemoryEngine } from "../../src/engines/memory/index.ts";
import { systemClock, systemRandom } from "../../src/system.ts";
import { BindingSocket } from "../../src/worker-host/binding-socket.ts";
import { recordingLogger } from "../support/broker-harness.ts";

class SocketHarness implements AsyncDisposable {
  readonly engine: StorageEngine;
  readonly queue: QueueRecord;
  readonly token: string;
  readonly traces: string[] = [];
  readonly traceToken: string;
  readonly #socket: BindingSocket;
  readonly #folder: string;

  private constructor(engine: StorageEngine, queue: QueueRecord, socket: BindingSocket, folder: string) {
    this.engine = engine;
    this.queue = queue;
    this.#socket = socket;
    this.#folder = folder;
    this.token = socket.admit({ worker: "app" as WorkerName, queue: { queue_name: queue.name, queue_id: queue.id } });
    this.traceToken = socket.admitTraces((text) => this.traces.push(text));
  }

  static async open(): Promise<SocketHarness> {
    const folder = await mkdtemp(join(tmpdir(), "millrace-test-"));
    const engine = await openMemoryEngine({ clock: systemClock });
    const plane = await ControlPlane.open(engine.catalog, systemClock, systemRandom);
    const name = parseQueueName("events");
    const queue = await plane.change("test", (view, context) =>
      createQueue(view, context, { name, settings: defaultQueueSettings, jurisdiction: null }),
    );
    const catalog = () => plane.view;
    const socket = await BindingSocket.open(join(folder, "socket"), {
      intake: new Intake({ engine, clock: systemClock, random: systemRandom, catalog }),
      catalog,
      backlogOf: async (id) => (await engine.metrics(id)).backlog,
      logger: recordingLogger(),
    });
    return new SocketHarness(engine, queue, socket, folder);
  }

  async connect(): Promise<Connection> {
    const socket = connect(this.#socket.path);
    await once(socket, "connect");
    return new Connection(socket);
  }

  async stored(): Promise<string[]> {
    const messages = await this.engine.peek(this.queue.id, { max: 100 });
    return messages.map(({ body }) => Buffer.from(body).toString("latin1"));
  }

  post(path: string, body: string, headers: readonly string[] = ["X-Msg-Fmt: text"], token = this.token): string {
    const lines = [`POST ${path} HTTP/1.1`, `Content-Length: ${body.length}`, "Host: fake-host", ...headers];
    return `${lines.join("\r\n")}\r\nmillrace-binding: ${token}\r\n\r\n${body}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#socket[Symbol.asyncDispose]();
    await this.engine[Symbol.asyncDispose]();
    await rm(this.#folder, { recursive: true });
  }
}

class Connection implements Disposable {
  readonly #socket: Socket;
  #text = "";
  #isEnded = false;
  #changed: () => void = () => {};

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding("latin1");
    socket.on("data", (text: string) => {
      this.#text += text;
      this.#changed();
    });
    socket.on("close", () => {
      this.#isEnded = true;
      this.#changed();
    });
    socket.on("error", () => {});
  }

  /** Each piece is handed to the kernel before the next is written. */
  async write(...pieces: readonly string[]): Promise<void> {
    for (const piece of pieces) {
      await new Promise<void>((resolve) => this.#socket.write(piece, "latin1", () => resolve()));
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
  }

  /** The status line of the next answer and its body. */
  async answer(): Promise<readonly [string, string]> {
    const pattern = /^(.*)\r\n(?:.*\r\n)*?Content-Length: (\d+)\r\n(?:.*\r\n)*?\r\n/;
    for (;;) {
      const [head, status = "", length] = pattern.exec(this.#text) ?? [];
      if (head !== undefined && this.#text.length >= head.length + Number(length)) {
        const end = head.length + Number(length);
        const body = this.#text.slice(head.length, end);
        this.#text = this.#text.slice(end);
        return [status, body];
      }
      if (this.#isEnded) assert.fail(`the connection ended with ${JSON.stringify(this.#text)}`);
      await this.#change();
    }
  }

  async ended(): Promise<string> {
    while (!this.#isEnded) await this.#change();
    return this.#text;
  }

  async #change(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#changed = resolve;
    });
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }
}

const ok = "HTTP/1.1 200 OK";

test("a send that arrives byte by byte is stored once", async () => {
  await using harness = await SocketHarness.open();
  using connection = await harness.connect();
  await connection.write(...Array.from(harness.post("/message", "hello")));
  const [status, body] = await connection.answer();
  assert.equal(status, ok);
  assert.match(body, /^{"metadata":{"metrics":{"backlogCount":1,"backlogBytes":5,"oldestMessageTimestamp":\d{13}}}}$/);
  assert.deepEqual(await harness.stored(), ["hello"]);
});

test("requests that arrive together are answered one after the other", async () => {
  await using harness = await SocketHarness.open();
  using connection = await harness.connect();
  const all = ["one", "two", "three"].map((body) => harness.post("/message", body));
  await connection.write(all.join("").slice(0, -2), all.join("").slice(-2));
  for (const count of [1, 2, 3]) {
    const [status, body] = await connection.answer();
    assert.deepEqual([status, body.includes(`"backlogCount":${count},`)], [ok, true]);
  }
  assert.deepEqual(await harness.stored(), ["one", "two", "three"]);
});

test("a body in chunks is stored whole", async () => {
  await using harness = await SocketHarness.open();
  using connection = await harness.connect();
  const head = harness.post("/message", "").replace("Content-Length: 0", "Transfer-Encoding: chunked");
  await connection.write(head, "3\r\nhel\r", "\n2\r\nlo\r\n0\r\n", "\r\n");
  assert.equal((await connection.answer())[0], ok);
  assert.deepEqual(await harness.stored(), ["hello"]);
});

test("a message that is too large is refused once it was read, and the connection lives on", async () => {
  await using harness = await SocketHarness.open();
  using connection = await harness.connect();
  await connection.write(harness.post("/message", "x".repeat(128_001)));
  const [status, body] = await connection.answer();
  assert.equal(status, "HTTP/1.1 413 Message length of 128001 bytes exceeds the limit of 128000");
  assert.match(body, /MESSAGE_TOO_LARGE/);
  await connection.write(harness.post("/batch", "x".repeat(1_048_577), ["CF-Queue-Batch-Bytes: 700000"]));
  assert.equal((await connection.answer())[0], "HTTP/1.1 413 Batch size of 700000 bytes exceeds the limit of 256000");
  await connection.write(harness.post("/message", "x".repeat(128_000)));
  assert.equal((await connection.answer())[0], ok);
});

test("a request that is cut off stores nothing", async () => {
  await using harness = await SocketHarness.open();
  {
    using connection = await harness.connect();
    await connection.write(harness.post("/message", "hello").slice(0, -1));
  }
  using other = await harness.connect();
  await other.write(harness.post("/message", "other"));
  assert.equal((await other.answer())[0], ok);
  assert.deepEqual(await harness.stored(), ["other"]);
});

test("a client that is gone when its answer comes disturbs nobody", async () => {
  await using harness = await SocketHarness.open();
  {
    using connection = await harness.connect();
    await connection.write(harness.post("/message", "gone"));
  }
  using other = await harness.connect();
  await other.write(harness.post("/message", "other"));
  assert.equal((await other.answer())[0], ok);
});

test("who has no token, a token that was revoked or two of them is no binding", async () => {
  await using harness = await SocketHarness.open();
  using connection = await harness.connect();
  const { token } = harness;
  const forged: Readonly<Record<string, string>> = {
    none: harness.post("/message", "x").replace(/millrace-binding: .*\r\n/, ""),
    wrong: harness.post("/message", "x", [], `${token}x`),
    twice: harness.post("/message", "x", [`millrace-binding: ${token}`]),
    "with another beside it": harness.post("/message", "x", ["millrace-binding: other"]),
    "in the body": harness.post("/message", `millrace-binding: ${token}`, [], "x"),
  };
  for (const [what, request] of Object.entries(forged)) {
    await connection.write(request);
    assert.match((await connection.answer())[0], /^HTTP\/1.1 403 /, what);
  }
  assert.deepEqual(await harness.stored(), []);
});

test("paths a binding does not have are not found, and reports of invocations are taken whole", async () => {
  await using harness = await SocketHarness.open();
  using connection = await harness.connect();
  await connection.write(harness.post("/messages", "x"));
  assert.match((await connection.answer())[0], /^HTTP\/1.1 404 /);
  await connection.write(harness.post("/traces", '[{"a":"é"}]', [], harness.traceToken));
  assert.deepEqual(await connection.answer(), [ok, "{}"]);
  await connection.write(`GET /metrics HTTP/1.1\r\nmillrace-binding: ${harness.token}\r\n\r\n`);
  assert.deepEqual(await connection.answer(), [ok, '{"backlogCount":0,"backlogBytes":0,"oldestMessageTimestamp":0}']);
  assert.equal(harness.traces.length, 1);
});

for (const [what, bytes] of Object.entries({
  "another version": "GET /metrics HTTP/1.0\r\n\r\n",
  "no HTTP at all": "\u0016\u0003\u0001\u0002\u0000\r\n\r\n",
  "two lengths": "POST /message HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
  "an absolute target": "GET http://fake-host/metrics HTTP/1.1\r\n\r\n",
})) {
  test(`a connection that brings ${what} is told so and closed`, async () => {
    await using harness = await SocketHarness.open();
    using connection = await harness.connect();
    await connection.write(bytes);
    assert.equal((await connection.answer())[0], "HTTP/1.1 400 Bad Request");
    assert.equal(await connection.ended(), "");
  });
}

test("connections end with the socket", async () => {
  const harness = await SocketHarness.open();
  using connection = await harness.connect();
  await connection.write(harness.post("/message", "hello").slice(0, 20));
  await harness[Symbol.asyncDispose]();
  assert.equal(await connection.ended(), "");
});
