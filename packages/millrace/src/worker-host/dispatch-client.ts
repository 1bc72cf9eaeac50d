// Talks to the dispatcher inside one workerd process: hands over batches, asks whether its event loop turns.

import { Client } from "undici";
import type { Delivery, DeliveryOutcome } from "../broker/index.ts";
import { DispatchConnection } from "./dispatch-connection.ts";
import type { ConnectionOutcome, DeliverOptions } from "./dispatch-connection.ts";
import type { DispatchAnswer } from "./delivery-result.ts";
import type { Receipts } from "./receipts.ts";

export type DispatchOutcome =
  | { readonly kind: "answered"; readonly answer: DispatchAnswer }
  | Exclude<DeliveryOutcome, { readonly kind: "completed" }>;

/** workerd closes connections that were idle for 5 s: ours are given up before. */
const keepAliveMs = 4_000;

export class DispatchClient implements AsyncDisposable {
  readonly #socketPath: string;
  readonly #receipts: Receipts;
  readonly #outputIsRead: () => Promise<unknown>;
  readonly #pings: Client;
  readonly #connections = new Set<DispatchConnection>();
  /** The one used last is the next to be used. */
  readonly #idle: DispatchConnection[] = [];
  #isClosed = false;

  /** `outputIsRead`: waits, when a connection has broken, for the receipts that the process may have written before. */
  constructor(socketPath: string, receipts: Receipts, outputIsRead: () => Promise<unknown>) {
    this.#socketPath = socketPath;
    this.#receipts = receipts;
    this.#outputIsRead = outputIsRead;
    // The host name is not used.
    this.#pings = new Client("http://dispatcher", {
      socketPath,
      keepAliveTimeout: keepAliveMs,
      headersTimeout: 0,
      bodyTimeout: 0,
    });
  }

  /** Never rejects. Aborting the signal cancels the handler. */
  async deliver(delivery: Delivery, options: DeliverOptions): Promise<DispatchOutcome> {
    if (options.signal.aborted) return { kind: "cancelled" };
    if (this.#isClosed)
      return { kind: "notDelivered", detail: "the Worker could not be reached (its process has ended)" };
    const connection = this.#takeIdle() ?? this.#connect();
    const number = this.#receipts.expect();
    try {
      const outcome = await connection.deliver(delivery, number, options);
      if (connection.isReusable) this.#idle.push(connection);
      return await this.#judge(outcome, number, options.wallTimeMs);
    } finally {
      this.#receipts.forget(number);
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
    this.#isClosed = true;
    for (const connection of this.#connections) connection.close();
    await this.#pings.destroy();
  }

  async #judge(outcome: ConnectionOutcome, number: number, wallTimeMs: number): Promise<DispatchOutcome> {
    switch (outcome.kind) {
      case "broken": {
        await this.#outputIsRead();
        return this.#receipts.has(number)
          ? { kind: "died", detail: `the Worker had the batch and did not answer: ${outcome.detail}` }
          : { kind: "notDelivered", detail: `the Worker did not take the batch: ${outcome.detail}` };
      }
      case "tookTooLong":
        return this.#receipts.has(number)
          ? { kind: "timedOut", detail: `the handler ran longer than ${wallTimeMs / 1_000} seconds` }
          : { kind: "notDelivered", detail: "the Worker did not take the batch in time" };
      default:
        return outcome;
    }
  }

  #takeIdle(): DispatchConnection | undefined {
    for (let last = this.#idle.pop(); last !== undefined; last = this.#idle.pop()) {
      if (last.isReusable && last.idleMs < keepAliveMs) return last;
      last.close();
    }
    return undefined;
  }

  #connect(): DispatchConnection {
    const connection = new DispatchConnection(this.#socketPath, () => {
      this.#connections.delete(connection);
      const place = this.#idle.indexOf(connection);
      if (place >= 0) this.#idle.splice(place, 1);
    });
    this.#connections.add(connection);
    return connection;
  }
}
