// The server's side of a hand-over, against a dispatcher made by hand: what becomes of a batch, whatever becomes of the connection.

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import type { Server, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { Delivery } from "../../src/broker/index.ts";
import type { QueueName } from "../../src/core/index.ts";
import { DispatchClient } from "../../src/worker-host/dispatch-client.ts";
import type { DispatchOutcome } from "../../src/worker-host/dispatch-client.ts";
import { Receipts } from "../../src/worker-host/receipts.ts";
import { message } from "./host-harness.ts";

const delivery: Delivery = {
  queue: "events" as QueueName,
  messages: [message("one", { id: "a".repeat(32) }), message("zwölf", { id: "b".repeat(32), attempts: 70_000 })],
  backlog: { count: 2, bytes: 8, oldestSentAt: undefined },
};

const result =
  '{"outcome":"ok","ackAll":false,"retryBatch":{"retry":false},"explicitAcks":["é"],"retryMessages":[],"undecodable":[]}';
const answerOf = (text: string): string =>
  `HTTP/1.1 200 OK\r\nContent-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`;
const answer = answerOf(result);

interface TakenRequest {
  readonly socket: Socket;
  readonly frame: Buffer;
}

/** Takes whole requests; what to do with each is said one by one. */
class FakeDispatcher implements AsyncDisposable {
  readonly client: DispatchClient;
  readonly #receipts = new Receipts();
  /** What the client waits for when a connection has broken. */
  readonly output = Promise.withResolvers<void>();
  /** Connections that were made. */
  connections = 0;
  readonly #server: Server;
  readonly #folder: string;
  readonly #sockets = new Set<Socket>();
  readonly #requests: TakenRequest[] = [];
  readonly #taken: ((request: TakenRequest) => void)[] = [];

  private constructor(server: Server, folder: string, path: string) {
    this.#server = server;
    this.#folder = folder;
    this.client = new DispatchClient(path, this.#receipts, async () => await this.output.promise);
    server.on("connection", (socket) => {
      this.connections += 1;
      this.#sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => this.#sockets.delete(socket));
      let bytes = Buffer.alloc(0);
      socket.on("data", (data: Buffer) => {
        bytes = Buffer.concat([bytes, data]);
        const [text, length] =
          /^POST \/deliver HTTP\/1\.1\r\n(?:.*\r\n)*?Content-Length: (\d+)\r\n\r\n/.exec(bytes.toString("latin1")) ??
          [];
        if (text === undefined || bytes.length < text.length + Number(length)) return;
        const request = { socket, frame: bytes.subarray(text.length) };
        bytes = Buffer.alloc(0);
        const taken = this.#taken.shift();
        if (taken === undefined) this.#requests.push(request);
        else taken(request);
      });
    });
  }

  static async open(): Promise<FakeDispatcher> {
    const folder = await mkdtemp(join(tmpdir(), "millrace-test-"));
    const path = join(folder, "socket");
    const server = createServer();
    server.listen(path);
    await once(server, "listening");
    return new FakeDispatcher(server, folder, path);
  }

  /** Writes the receipt of a batch to the output. */
  receive({ frame }: TakenRequest): void {
    const { number } = headerOf(frame);
    assert.ok(this.#receipts.take(`${this.#receipts.word}${number}`));
  }

  async request(): Promise<TakenRequest> {
    const request = this.#requests.shift();
    if (request !== undefined) return request;
    return await new Promise((resolve) => this.#taken.push(resolve));
  }

  async deliver(
    options: { readonly signal?: AbortSignal; readonly wallTimeMs?: number } = {},
  ): Promise<DispatchOutcome> {
    const { signal = new AbortController().signal, wallTimeMs = 60_000 } = options;
    return await this.client.deliver(delivery, { signal, wallTimeMs });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client[Symbol.asyncDispose]();
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await rm(this.#folder, { recursive: true });
  }
}

function headerOf(frame: Buffer): { readonly number: number; readonly [name: string]: unknown } {
  return JSON.parse(frame.toString("utf8", 4, 4 + frame.readUInt32BE()));
}

async function write(socket: Socket, ...pieces: readonly string[]): Promise<void> {
  for (const piece of pieces) {
    await new Promise<void>((resolve) => socket.write(piece, "utf8", () => resolve()));
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
}

async function closing(socket: Socket): Promise<void> {
  await new Promise<void>((resolve) => socket.once("close", () => resolve()));
}

function answered(outcome: DispatchOutcome): void {
  assert.equal(outcome.kind, "answered", JSON.stringify(outcome));
  if (outcome.kind === "answered") assert.deepEqual(outcome.answer.result.explicitAcks, ["é"]);
}

test("a batch goes out as one frame, and its result comes back", async () => {
  await using dispatcher = await FakeDispatcher.open();
  const delivered = dispatcher.deliver();
  const { socket, frame } = await dispatcher.request();
  const headerLength = frame.readUInt32BE();
  assert.deepEqual(headerOf(frame), {
    number: 1,
    queue: "events",
    metrics: { backlogCount: 2, backlogBytes: 8, oldestMessageTimestamp: 0 },
    messages: delivery.messages.map(({ id, sentAt, attempts, contentType, body }) => ({
      id,
      timestamp: sentAt,
      attempts: Math.min(attempts, 65_535),
      type: contentType,
      bytes: body.byteLength,
    })),
  });
  assert.equal(frame.toString("utf8", 4 + headerLength), "onezwölf");
  await write(socket, answer);
  answered(await delivered);
});

test("a result that comes byte by byte is the same", async () => {
  await using dispatcher = await FakeDispatcher.open();
  const delivered = dispatcher.deliver();
  const { socket } = await dispatcher.request();
  await write(socket, ...Array.from(answer));
  answered(await delivered);
});

test("batches one after the other share a connection, batches at once have one each", async () => {
  await using dispatcher = await FakeDispatcher.open();
  for (let round = 0; round < 3; round += 1) {
    const delivered = dispatcher.deliver();
    await write((await dispatcher.request()).socket, answer);
    answered(await delivered);
  }
  assert.equal(dispatcher.connections, 1);
  const both = [dispatcher.deliver(), dispatcher.deliver()];
  const requests = [await dispatcher.request(), await dispatcher.request()];
  for (const { socket } of requests) await write(socket, answer);
  for (const outcome of await Promise.all(both)) answered(outcome);
  assert.equal(dispatcher.connections, 2);
});

test("a connection the dispatcher closes while it is idle costs the next batch nothing", async () => {
  await using dispatcher = await FakeDispatcher.open();
  const first = dispatcher.deliver();
  const { socket } = await dispatcher.request();
  await write(socket, answer);
  answered(await first);
  const closed = closing(socket);
  socket.end();
  await closed; // the client has seen the end too: it closed its side
  const second = dispatcher.deliver();
  await write((await dispatcher.request()).socket, answer);
  answered(await second);
  assert.equal(dispatcher.connections, 2);
});

test("a connection that is to be closed after an answer, or brings more than one, is not used again", async () => {
  await using dispatcher = await FakeDispatcher.open();
  const texts = [answer.replace("\r\n", "\r\nConnection: close\r\n"), answer + answer];
  for (const [index, text] of texts.entries()) {
    const delivered = dispatcher.deliver();
    const { socket } = await dispatcher.request();
    const closed = closing(socket);
    await write(socket, text);
    answered(await delivered);
    await closed;
    assert.equal(dispatcher.connections, index + 1);
  }
});

const strange: Readonly<Record<string, string>> = {
  "none at all": "",
  "cut in its head": answer.slice(0, 20),
  "cut in its result": answer.slice(0, -20),
  "of another status": "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 1\r\n\r\n\n",
  "no HTTP": "hello\r\n\r\n",
  "no result": answerOf("x"),
};
for (const [what, text] of Object.entries(strange)) {
  for (const kind of ["died", "notDelivered"] as const) {
    const receipt = kind === "died" ? "a receipt, which is read later" : "no receipt";
    test(`an answer that is ${what}, with ${receipt}: ${kind}`, async () => {
      await using dispatcher = await FakeDispatcher.open();
      const delivered = dispatcher.deliver();
      const request = await dispatcher.request();
      await write(request.socket, text);
      request.socket.end();
      await closing(request.socket);
      if (kind === "died") dispatcher.receive(request);
      dispatcher.output.resolve();
      assert.equal((await delivered).kind, kind);
    });
  }
}

test("a batch that takes too long timed out when the handler had it, and was not delivered otherwise", async () => {
  await using silent = await FakeDispatcher.open();
  assert.equal((await silent.deliver({ wallTimeMs: 1 })).kind, "notDelivered"); // the request may be on its way still
  await using dispatcher = await FakeDispatcher.open();
  const delivered = dispatcher.deliver({ wallTimeMs: 1_000 });
  const request = await dispatcher.request();
  const closed = closing(request.socket);
  dispatcher.receive(request);
  assert.deepEqual(await delivered, { kind: "timedOut", detail: "the handler ran longer than 1 seconds" });
  await closed; // which is what cancels the handler
});

test("a receipt is of one batch, and of one that is under way", () => {
  const receipts = new Receipts();
  const [one, two] = [receipts.expect(), receipts.expect()];
  assert.equal(receipts.take(`${receipts.word}${two}`), true);
  assert.deepEqual([receipts.has(one), receipts.has(two)], [false, true]);
  receipts.forget(two);
  assert.equal(receipts.take(`${receipts.word}${two}`), true, "still no word of the Worker's");
  assert.equal(receipts.has(two), false);
  assert.equal(receipts.take(`began ${one}`), false);
  assert.equal(receipts.take(`${new Receipts().word}${one}`), false);
  assert.equal(receipts.has(one), false);
});

test("each batch on a connection has its own time", async () => {
  await using dispatcher = await FakeDispatcher.open();
  let isAnswering = true;
  // Whether the request of a batch that is given up at once still comes is not known.
  const answerAll = async (): Promise<never> => {
    for (;;) {
      const { socket } = await dispatcher.request();
      if (isAnswering) socket.write(answer);
    }
  };
  void answerAll();
  for (const wallTimeMs of [60_000, 60_000, 1, 60_000]) {
    isAnswering = wallTimeMs > 1;
    assert.equal((await dispatcher.deliver({ wallTimeMs })).kind, isAnswering ? "answered" : "notDelivered");
  }
});

test("an aborted batch is cancelled by closing its connection, before or after the receipt", async () => {
  await using dispatcher = await FakeDispatcher.open();
  const aborted = AbortSignal.abort();
  assert.deepEqual(await dispatcher.deliver({ signal: aborted }), { kind: "cancelled" });
  for (const isReceived of [false, true]) {
    const controller = new AbortController();
    const delivered = dispatcher.deliver({ signal: controller.signal });
    const request = await dispatcher.request();
    if (isReceived) dispatcher.receive(request);
    const closed = closing(request.socket);
    controller.abort();
    assert.deepEqual(await delivered, { kind: "cancelled" });
    await closed;
  }
});

test("a dispatcher that cannot be reached, or whose client is closed, was not given the batch", async () => {
  const dispatcher = await FakeDispatcher.open();
  const under = dispatcher.deliver();
  const { socket } = await dispatcher.request();
  const closed = closing(socket);
  dispatcher.output.resolve();
  await dispatcher[Symbol.asyncDispose]();
  assert.equal((await under).kind, "notDelivered");
  await closed;
  assert.equal((await dispatcher.deliver()).kind, "notDelivered");
  await using unreachable = new DispatchClient("/nowhere", new Receipts(), async () => {});
  const { signal } = new AbortController();
  assert.equal((await unreachable.deliver(delivery, { signal, wallTimeMs: 60_000 })).kind, "notDelivered");
});
