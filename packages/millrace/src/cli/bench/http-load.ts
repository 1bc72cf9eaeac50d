// Keeps so many HTTP requests under way for a while and tells what came of them. Every message carries a number of its own, so
// that whoever counts the deliveries can name what is missing.

import { Histogram } from "./histogram.ts";
import type { HistogramData } from "./histogram.ts";
import { HttpConnection } from "./http-connection.ts";
import type { HttpAddress } from "./http-connection.ts";

/** Stands in a request where the number of a message goes: ten digits, so that the length never changes. */
export const numberMark = "##########";

export interface LoadPlan {
  readonly address: HttpAddress;
  readonly connections: number;
  /** No request begins later. */
  readonly seconds: number;
  /** Or after so many requests. */
  readonly requests?: number | undefined;
  /** Whole requests with marks, all with the same number of them, sent in turn. */
  readonly texts: readonly string[];
  /** The number that the first message gets. */
  readonly firstNumber: number;
}

export interface LoadResult {
  readonly requests: number;
  /** Numbers taken: `firstNumber` and so many more, those of refused requests included. */
  readonly numbers: number;
  /** Numbers of messages in requests that were not answered with success. */
  readonly refused: readonly number[];
  readonly firstRefusal: string | undefined;
  /** From the first request to the last answer. */
  readonly ms: number;
  readonly latency: HistogramData;
}

/** For whoever follows a load while it runs. */
export interface LoadWatch {
  /** Resolves when the next request may begin; `undefined`: now. */
  readonly gate: () => Promise<void> | undefined;
  readonly answered: (ms: number) => void;
}

/** A request as text. The path and the body may contain marks. */
export function requestText(options: {
  readonly method: string;
  readonly path: string;
  readonly host: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | undefined;
}): string {
  const { method, path, host, headers = {}, body } = options;
  const length = body === undefined ? [] : [`Content-Length: ${Buffer.byteLength(body)}`];
  const others = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  return [`${method} ${path} HTTP/1.1`, `Host: ${host}`, ...others, ...length, "", body ?? ""].join("\r\n");
}

/** Rejects when a connection breaks: a figure from such a run would mean nothing. */
export async function runLoad(plan: LoadPlan, watch?: LoadWatch): Promise<LoadResult> {
  const broken = Promise.withResolvers<never>();
  broken.promise.catch(() => undefined); // awaited below
  const connections = await Promise.all(
    Array.from({ length: plan.connections }, async () => await HttpConnection.open(plan.address, broken.reject)),
  );
  try {
    return await Promise.race([new Load(plan, connections, watch).run(), broken.promise]);
  } finally {
    for (const connection of connections) connection.close();
  }
}

class Load {
  readonly #plan: LoadPlan;
  readonly #connections: readonly HttpConnection[];
  readonly #watch: LoadWatch | undefined;
  readonly #marksPerRequest: number;
  readonly #latency = new Histogram();
  readonly #refused: number[] = [];
  readonly #done = Promise.withResolvers<void>();
  #firstRefusal: string | undefined;
  #begun = 0;
  #underWay = 0;
  #startedAt = 0;
  #endsAt = 0;
  #lastAnswerAt = 0;

  constructor(plan: LoadPlan, connections: readonly HttpConnection[], watch: LoadWatch | undefined) {
    this.#plan = plan;
    this.#watch = watch;
    this.#connections = connections;
    this.#marksPerRequest = marksIn(plan.texts[0] ?? "").length;
  }

  async run(): Promise<LoadResult> {
    const { texts } = this.#plan;
    const writers = this.#connections.map((connection, index) => ({
      connection,
      // Each connection patches bytes of its own: another's may still be on their way into the kernel.
      requests: shareOf(texts, index, this.#connections.length).map((text) => ({
        bytes: Buffer.from(text, "utf8"),
        marks: marksIn(text),
      })),
      turn: 0,
    }));
    this.#startedAt = performance.now();
    this.#endsAt = this.#startedAt + this.#plan.seconds * 1_000;
    for (const writer of writers) this.#next(writer);
    await this.#done.promise;
    return {
      requests: this.#begun,
      numbers: this.#begun * this.#marksPerRequest,
      refused: this.#refused,
      firstRefusal: this.#firstRefusal,
      ms: this.#lastAnswerAt - this.#startedAt,
      latency: this.#latency.toJSON(),
    };
  }

  #next(writer: Writer): void {
    const held = this.#watch?.gate();
    if (held === undefined) this.#send(writer);
    else void held.then(() => this.#next(writer));
  }

  #send(writer: Writer): void {
    const begunAt = performance.now();
    const { requests: most = Number.POSITIVE_INFINITY, firstNumber } = this.#plan;
    if (begunAt >= this.#endsAt || this.#begun >= most) {
      if (this.#underWay === 0) this.#done.resolve();
      return;
    }
    const request = writer.requests[writer.turn++ % writer.requests.length];
    if (request === undefined) throw new Error("a load without requests");
    const number = firstNumber + this.#begun * this.#marksPerRequest;
    this.#begun += 1;
    this.#underWay += 1;
    for (const [index, mark] of request.marks.entries()) writeNumber(request.bytes, mark, number + index);
    writer.connection.exchange(request.bytes, (status, body) => {
      this.#lastAnswerAt = performance.now();
      const ms = this.#lastAnswerAt - begunAt;
      this.#latency.record(ms);
      this.#watch?.answered(ms);
      this.#underWay -= 1;
      if (status < 200 || status > 299) this.#refuse(number, status, body);
      this.#next(writer);
    });
  }

  #refuse(first: number, status: number, body: Buffer): void {
    this.#firstRefusal ??= `${status} ${body.toString("utf8", 0, 300)}`;
    for (let index = 0; index < this.#marksPerRequest; index += 1) this.#refused.push(first + index);
  }
}

interface Writer {
  readonly connection: HttpConnection;
  readonly requests: readonly { readonly bytes: Buffer; readonly marks: readonly number[] }[];
  turn: number;
}

/** All connections send few texts; of many, each sends a part, so that every text is in memory once. */
function shareOf(texts: readonly string[], index: number, connections: number): readonly string[] {
  if (texts.length < connections) return texts;
  return texts.filter((_, place) => place % connections === index);
}

/** Where in the bytes of a text its marks are. */
function marksIn(text: string): number[] {
  const bytes = Buffer.from(text, "utf8");
  const marks: number[] = [];
  for (let at = bytes.indexOf(numberMark); at >= 0; at = bytes.indexOf(numberMark, at + numberMark.length))
    marks.push(at);
  return marks;
}

function writeNumber(bytes: Buffer, at: number, number: number): void {
  let rest = number;
  for (let digit = at + numberMark.length - 1; digit >= at; digit -= 1) {
    bytes[digit] = 48 + (rest % 10);
    rest = Math.floor(rest / 10);
  }
}
