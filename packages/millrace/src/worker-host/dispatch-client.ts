// Talks to the dispatcher inside one workerd process: hands over batches, asks whether its event loop turns.

import { Client } from "undici";
import type { Delivery } from "../broker/index.ts";
import { DispatchConnection } from "./dispatch-connection.ts";
import type { DeliverOptions, DispatchOutcome } from "./dispatch-connection.ts";

/** workerd closes connections that were idle for 5 s: ours are given up before. */
const keepAliveMs = 4_000;

export class DispatchClient implements AsyncDisposable {
  readonly #socketPath: string;
  readonly #pings: Client;
  readonly #connections = new Set<DispatchConnection>();
  /** The one used last is the next to be used. */
  readonly #idle: DispatchConnection[] = [];
  #isClosed = false;

  constructor(socketPath: string) {
    this.#socketPath = socketPath;
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
    const outcome = await connection.deliver(delivery, options);
    if (connection.isReusable) this.#idle.push(connection);
    return outcome;
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
