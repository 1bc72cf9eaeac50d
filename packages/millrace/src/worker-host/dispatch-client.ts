// Talks to the dispatcher inside one workerd process: hands over batches, asks whether its event loop turns.

import { Client, Pool } from "undici";
import type { Delivery, DeliveryOutcome } from "../broker/index.ts";
import { encodeDelivery } from "./delivery-frame.ts";
import { parseDispatchAnswer } from "./delivery-result.ts";
import type { DispatchAnswer } from "./delivery-result.ts";

export interface DeliverOptions {
  readonly signal: AbortSignal;
  readonly wallTimeMs: number;
}

export type DispatchOutcome =
  | { readonly kind: "answered"; readonly answer: DispatchAnswer }
  | Exclude<DeliveryOutcome, { readonly kind: "completed" }>;

/** workerd closes connections that were idle for 5 s: ours are given up before. */
const keepAliveMs = 4_000;
/** The first byte says that the batch is about to reach the handler; the rest is the result. */
const receipt = 0x0a;

/** Undici's options are per connection pool; the host name is not used. */
const origin = "http://dispatcher";
const withoutTimeouts = { headersTimeout: 0, bodyTimeout: 0 };

export class DispatchClient implements AsyncDisposable {
  readonly #pool: Pool;
  readonly #pings: Client;

  constructor(socketPath: string) {
    this.#pool = new Pool(origin, { socketPath, pipelining: 1, keepAliveTimeout: keepAliveMs, ...withoutTimeouts });
    this.#pings = new Client(origin, { socketPath, keepAliveTimeout: keepAliveMs, ...withoutTimeouts });
  }

  /** Never rejects. Aborting the signal cancels the handler. */
  async deliver(delivery: Delivery, { signal, wallTimeMs }: DeliverOptions): Promise<DispatchOutcome> {
    if (signal.aborted) return { kind: "cancelled" };
    const overdue = new AbortController();
    const timer = setTimeout(() => overdue.abort(), wallTimeMs);
    let isReceived = false;
    try {
      const response = await this.#pool.request({
        method: "POST",
        path: "/deliver",
        body: encodeDelivery(delivery),
        signal: AbortSignal.any([signal, overdue.signal]),
      });
      const chunks: Buffer[] = [];
      for await (const chunk of response.body as AsyncIterable<Buffer>) {
        isReceived ||= chunk[0] === receipt;
        chunks.push(chunk);
      }
      if (response.statusCode !== 200) {
        return { kind: "notDelivered", detail: `the dispatcher answered ${response.statusCode}` };
      }
      return { kind: "answered", answer: parseDispatchAnswer(Buffer.concat(chunks).toString("utf8")) };
    } catch (error) {
      if (signal.aborted) return { kind: "cancelled" };
      if (overdue.signal.aborted) {
        return isReceived
          ? { kind: "timedOut", detail: `the handler ran longer than ${wallTimeMs / 1_000} seconds` }
          : { kind: "notDelivered", detail: "the Worker did not take the batch" };
      }
      const reason = error instanceof Error ? error.message : String(error);
      return isReceived
        ? { kind: "died", detail: `the connection to the Worker broke while it had the batch (${reason})` }
        : { kind: "notDelivered", detail: `the Worker could not be reached (${reason})` };
    } finally {
      clearTimeout(timer);
    }
  }

  /** `silent`: connected, but the event loop did not answer in time. */
  async ping(deadlineMs: number): Promise<"answered" | "silent" | "unreachable"> {
    const deadline = AbortSignal.timeout(deadlineMs);
    try {
      const response = await this.#pings.request({ method: "GET", path: "/ping", signal: deadline });
      await response.body.dump();
      return "answered";
    } catch {
      return deadline.aborted ? "silent" : "unreachable";
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.#pool.destroy(), this.#pings.destroy()]);
  }
}
