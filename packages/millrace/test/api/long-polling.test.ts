// Long polls over real connections: many at once, clients that hang up, a server that stops.
import assert from "node:assert/strict";
import { once } from "node:events";
import { Agent, request } from "node:http";
import type { ClientRequest, IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { test } from "node:test";

import { accountId, adminToken, ApiHarness } from "./api-harness.ts";

const many = 1_000;

interface Poll {
  readonly request: ClientRequest;
  /** Status and number of messages. */
  readonly answer: Promise<string>;
}

class Polls {
  readonly harness: ApiHarness;
  readonly queue: string;
  readonly #origin: URL;
  readonly #agent = new Agent({ maxSockets: Number.POSITIVE_INFINITY });
  /** The server's ends of the connections. */
  readonly sockets = new Set<Socket>();

  private constructor(harness: ApiHarness, queue: string, origin: string) {
    this.harness = harness;
    this.queue = queue;
    this.#origin = new URL(origin);
  }

  static async open(harness: ApiHarness): Promise<Polls> {
    const queue = await harness.queue("jobs");
    await harness.must("POST", `${queue}/consumers`, { type: "http_pull", settings: { batch_size: 1 } });
    const polls = new Polls(harness, queue, await harness.api.listen({ host: "127.0.0.1", port: 0 }));
    harness.api.server.server.on("connection", (socket: Socket) => polls.sockets.add(socket));
    return polls;
  }

  /** Starts polls; resolves once the server waits with all of them. */
  async start(count: number): Promise<readonly Poll[]> {
    let asked = 0;
    const { promise: allWait, resolve } = Promise.withResolvers<void>();
    const { engine } = this.harness;
    const lease = engine.lease.bind(engine);
    engine.lease = async (...call) => {
      const batch = await lease(...call);
      if ((asked += 1) === count) resolve();
      return batch;
    };
    const polls = Array.from({ length: count }, () => this.#poll());
    await allWait;
    engine.lease = lease;
    await this.harness.time.settle();
    return polls;
  }

  #poll(): Poll {
    const sent = request({
      host: this.#origin.hostname,
      port: this.#origin.port,
      agent: this.#agent,
      method: "POST",
      path: `/client/v4/accounts/${accountId}${this.queue}/messages/pull`,
      headers: { authorization: `Bearer ${adminToken}`, "millrace-wait-seconds": "60" },
    });
    sent.end("{}");
    return { request: sent, answer: answerOf(sent).catch(() => "hung up") };
  }

  async push(count: number): Promise<void> {
    const messages = Array.from({ length: count }, (_, body) => ({ body }));
    await this.harness.must("POST", `${this.queue}/messages/batch`, { messages });
  }

  async states(): Promise<string[]> {
    const peeked = await this.harness.must<{ messages: { state: string }[] }>("POST", `${this.queue}/messages/peek`, {
      batch_size: 100,
    });
    return peeked.messages.map(({ state }) => state);
  }
}

async function answerOf(sent: ClientRequest): Promise<string> {
  const [response] = (await once(sent, "response")) as [IncomingMessage];
  let text = "";
  for await (const piece of response.setEncoding("utf8")) text += String(piece);
  const { result } = JSON.parse(text) as { result: { messages: unknown[] } };
  return `${response.statusCode} ${result.messages.length}`;
}

const counted = (answers: readonly string[]): Record<string, number> => {
  const counts: Record<string, number> = {};
  for (const answer of answers) counts[answer] = (counts[answer] ?? 0) + 1;
  return counts;
};

test("a thousand long polls wait at once, as many are answered as there are messages, and a stop answers the rest", async () => {
  await using harness = await ApiHarness.open();
  const polls = await Polls.open(harness);
  const waiting = await polls.start(many);
  const answered = Promise.all(waiting.map(async ({ answer }) => await answer));
  await polls.push(1);
  assert.equal(await Promise.race(waiting.map(async ({ answer }) => await answer)), "200 1");
  await polls.push(99);
  await harness.api.close();
  assert.deepEqual(counted(await answered), { "200 1": 100, "200 0": many - 100 });
});

test("clients that hang up free their long polls, and nothing is leased for them", async () => {
  await using harness = await ApiHarness.open();
  const polls = await Polls.open(harness);
  const waiting = await polls.start(100);
  const closed = Promise.all([...polls.sockets].map(async (socket) => await once(socket, "close")));
  for (const { request: sent } of waiting) sent.destroy();
  await closed;
  await harness.time.settle();
  await polls.push(50);
  await harness.time.settle();
  assert.deepEqual(counted(await polls.states()), { ready: 50 });
  const [one] = await polls.start(1);
  assert.equal(await one?.answer, "200 1");
});
