// Outside of everything that is killed: handlers tell it what they were given, and it tells them what to do. A delivery is in the
// ledger before its handler is answered.

import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { DeliveredMessage, HandlerVerdict } from "./facts.ts";
import type { Ledger } from "./ledger.ts";
import { isPoison } from "./message-body.ts";
import { SeededRandom } from "./random.ts";

/** What a handler does: explicit decisions by index, then it returns or throws. */
interface Instruction {
  readonly acks: readonly number[];
  readonly retries: readonly { readonly index: number; readonly delaySeconds: number }[];
  readonly fails: boolean;
}

interface Plan extends Instruction {
  /** How long the handler waits for its answer; it stays in flight meanwhile. */
  readonly holdMs: number;
}

interface Report {
  readonly queue: string;
  readonly messages: readonly DeliveredMessage[];
}

export class Recorder implements AsyncDisposable {
  readonly url: string;
  /** Called with every report, before it is answered. A handler is held until what it returns resolves. */
  onReport: (report: Report) => Promise<void> = async () => await Promise.resolve();
  readonly #server: Server;
  readonly #ledger: Ledger;
  readonly #life: () => number;
  readonly #random: SeededRandom;
  readonly #held = new Set<() => void>();
  #deliveries = 0;
  #isCalm = false;

  private constructor(server: Server, ledger: Ledger, life: () => number, seed: number) {
    this.#server = server;
    this.#ledger = ledger;
    this.#life = life;
    this.#random = new SeededRandom(seed, "recorder");
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on("request", (request, response) => void this.#serve(request, response));
  }

  /** `life` tells which process of the server runs now. */
  static async start(ledger: Ledger, life: () => number, seed: number): Promise<Recorder> {
    // No timeouts: a handler whose connection was closed for idleness would fail for a reason that is none of the server's.
    const server = createServer({ keepAliveTimeout: 0, requestTimeout: 0, headersTimeout: 0 });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new Recorder(server, ledger, life, seed);
  }

  /** From now on every handler is answered at once and comes to a good end. */
  calm(): void {
    this.#isCalm = true;
    for (const release of this.#held) release();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    await closed;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const gone = new Promise<void>((resolve) => response.once("close", resolve));
    const text = await read(request);
    if (text === undefined) return; // its process died while it told
    const report = JSON.parse(text) as Report;
    this.#deliveries += 1;
    const delivery = this.#deliveries;
    await this.#ledger.write({ kind: "pushed", delivery, life: this.#life(), ...report });
    const { holdMs, ...instruction } = this.#plan(report.messages);
    await Promise.race([this.onReport(report), gone]);
    if (holdMs > 0) await this.#hold(holdMs, gone);
    if (response.destroyed) return; // nobody is left to be told
    await this.#ledger.write({ kind: "instructed", delivery, verdicts: verdictsOf(report.messages, instruction) });
    response.setHeader("content-type", "application/json").end(JSON.stringify(instruction));
  }

  async #hold(ms: number, gone: Promise<void>): Promise<void> {
    await new Promise<void>((resolve) => {
      const release = (): void => {
        clearTimeout(timer);
        this.#held.delete(release);
        resolve();
      };
      const timer = setTimeout(release, ms);
      this.#held.add(release);
      void gone.then(release);
    });
  }

  #plan(messages: readonly DeliveredMessage[]): Plan {
    const retried = messages.flatMap(({ id }, index) => (isPoison(id) ? [{ index, delaySeconds: 0 }] : []));
    if (this.#isCalm) return { acks: [], retries: retried, fails: false, holdMs: 0 };
    const random = this.#random;
    const holdMs = random.chance(0.1) ? random.between(20, 1_000) : 0;
    const healthy = messages.flatMap(({ id }, index) => (isPoison(id) ? [] : [index]));
    const chance = random.next();
    // Explicit acks count even when the handler fails afterwards; whatever has no decision is retried then.
    if (chance < 0.05) return { acks: healthy.filter(() => random.chance(0.5)), retries: retried, fails: true, holdMs };
    if (chance < 0.08) return { acks: [], retries: retried, fails: true, holdMs };
    if (chance < 0.15) {
      const some = healthy
        .filter(() => random.chance(0.2))
        .map((index) => ({ index, delaySeconds: random.between(0, 1) }));
      return { acks: [], retries: [...retried, ...some], fails: false, holdMs };
    }
    return { acks: [], retries: retried, fails: false, holdMs };
  }
}

function verdictsOf(messages: readonly DeliveredMessage[], { acks, retries, fails }: Instruction): HandlerVerdict[] {
  const verdicts = messages.map((): HandlerVerdict => (fails ? "retry" : "ack"));
  for (const index of acks) verdicts[index] = "ack";
  for (const { index } of retries) verdicts[index] = "retry";
  return verdicts;
}

async function read(request: IncomingMessage): Promise<string | undefined> {
  try {
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    return Buffer.concat(chunks).toString();
  } catch {
    return undefined;
  }
}
