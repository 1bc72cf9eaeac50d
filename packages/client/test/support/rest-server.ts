// A small HTTP server that speaks the REST API's protocol for one account: it keeps what is sent, hands it out, and notes
// every request. A test may answer a request in its place, or hold it back.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Watched } from "./deadline.ts";

const accountId = "a".repeat(32);
export const token = "mr_test";
export const queueId = "c".repeat(32);

export interface SentMessage {
  readonly body: unknown;
  readonly content_type?: string;
  readonly delay_seconds?: number;
  readonly millrace_message_id?: string;
}

export interface SeenRequest {
  readonly method: string;
  /** Below the account, with the query. */
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: unknown;
  /** Aborted when the client has gone away. */
  readonly gone: AbortSignal;
}

export interface Reply {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** An envelope, or text as it is. */
  readonly body: unknown;
}

/** `undefined`: the server answers by itself. `hang up`: the connection breaks. */
export type Script = (request: SeenRequest) => Reply | "hang up" | undefined | Promise<Reply | "hang up" | undefined>;

export interface PulledMessage {
  readonly id: string;
  readonly lease_id: string;
  readonly body: string;
  readonly attempts: number;
  readonly timestamp_ms: number;
  readonly metadata: Readonly<Record<string, string>>;
}

export class RestServer implements AsyncDisposable {
  readonly requests = new Watched<SeenRequest>();
  /** Every message stored, in order. */
  readonly stored: SentMessage[] = [];
  /** What pulls answer, and the acks and retries that came. */
  readonly backlog: PulledMessage[] = [];
  readonly settled = new Watched<{ readonly lease: string; readonly verdict: string }>();
  readonly queues = new Map([["orders", queueId]]);
  /** Whether a pull that asks to wait is held until there is something. */
  canHold = true;
  /** Whether answers say that ids of senders are known, as those of Millrace do. */
  knowsMessageIds = false;
  /** Whether pulls settle, and bring several batches, as those of Millrace do. */
  takesMore = false;
  script: Script = () => undefined;
  readonly #server: Server;
  readonly #held = new Set<() => void>();

  private constructor() {
    this.#server = createServer((request, response) => void this.#serve(request, response));
  }

  static async start(): Promise<RestServer> {
    const server = new RestServer();
    await new Promise<void>((resolve) => void server.#server.listen(0, "127.0.0.1", resolve));
    return server;
  }

  get baseUrl(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/client/v4`;
  }

  /** What `createClient` needs. */
  get options(): { readonly baseUrl: string; readonly accountId: string; readonly token: string } {
    return { baseUrl: this.baseUrl, accountId, token };
  }

  /** Requests whose path ends so, in order. */
  to(ending: string): readonly SeenRequest[] {
    return this.requests.items.filter(({ path }) => path.split("?")[0]?.endsWith(ending));
  }

  /** Makes messages ready to be pulled, and answers held pulls. */
  offer(...messages: readonly PulledMessage[]): void {
    this.backlog.push(...messages);
    for (const wake of this.#held) wake();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const gone = new AbortController();
    response.once("close", () => {
      gone.abort();
    });
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString();
    assert.equal(request.headers.authorization, `Bearer ${token}`);
    const root = `/client/v4/accounts/${accountId}`;
    const { method = "", url = "" } = request;
    assert.ok(url.startsWith(root), url);
    const seen: SeenRequest = {
      method,
      path: url.slice(root.length),
      headers: request.headers,
      body: text === "" ? undefined : JSON.parse(text),
      gone: gone.signal,
    };
    this.requests.push(seen);
    const reply = (await this.script(seen)) ?? (await this.#answer(seen));
    if (reply === "hang up") {
      request.socket.destroy();
      return;
    }
    const body = typeof reply.body === "string" ? reply.body : JSON.stringify(reply.body);
    const known = this.knowsMessageIds && { "millrace-message-ids": "known" };
    response
      .writeHead(reply.status ?? 200, { "content-type": "application/json", ...known, ...reply.headers })
      .end(body);
  }

  async #answer(request: SeenRequest): Promise<Reply> {
    const { method, path } = request;
    const url = new URL(path, "http://account");
    if (method === "GET" && url.pathname === "/queues") {
      const id = this.queues.get(url.searchParams.get("name") ?? "");
      const queues = id === undefined ? [] : [{ queue_id: id, queue_name: url.searchParams.get("name") }];
      return ok(queues);
    }
    const [, prefix, id = "", ...rest] = url.pathname.split("/");
    const name = [...this.queues].find(([, known]) => known === id)?.[0];
    if (prefix !== "queues") return refusal(404, 7003, "No route");
    if (name === undefined) return refusal(404, 10104, "No such queue");
    const body = request.body as { readonly messages: SentMessage[]; readonly batch_size?: number };
    switch (`${method} ${rest.join("/")}`) {
      case "GET ":
        return ok({ queue_id: id, queue_name: name });
      case "GET metrics":
        return ok(this.metrics);
      case "POST messages":
        this.stored.push(request.body as SentMessage);
        return ok({ metadata: { metrics: this.metrics } });
      case "POST messages/batch":
        this.stored.push(...body.messages);
        return ok({ metadata: { metrics: this.metrics } });
      case "POST messages/pull":
        return await this.#pull(request, body.batch_size ?? 5);
      case "POST messages/ack":
        return ok(this.#settle(request.body as Settlement));
      default:
        return refusal(404, 7003, "No route");
    }
  }

  get metrics(): object {
    return { backlog_count: this.stored.length, backlog_bytes: 7, oldest_message_timestamp_ms: 1_800_000_000_000 };
  }

  async #pull({ headers, gone, body }: SeenRequest, batchSize: number): Promise<Reply> {
    const { millrace_settle: settlement, millrace_batches: batches = 1 } = body as MorePull;
    const settled = this.takesMore && settlement !== undefined ? this.#settle(settlement) : undefined;
    if (this.canHold && Number(headers["millrace-wait-seconds"]) > 0) {
      while (this.backlog.length === 0 && !gone.aborted) {
        await new Promise<void>((resolve) => {
          const wake = (): void => {
            this.#held.delete(wake);
            resolve();
          };
          this.#held.add(wake);
          gone.addEventListener("abort", wake, { once: true });
        });
      }
      if (gone.aborted) return ok({ messages: [] });
    }
    const messages = this.backlog.splice(0, this.takesMore ? batches * batchSize : batchSize);
    const more = settled && { millrace_settled: settled };
    return ok({ message_backlog_count: 0, messages, metadata: { metrics: this.metrics }, ...more });
  }

  #settle({ acks = [], retries = [] }: Settlement): object {
    for (const { lease_id: lease } of acks) this.settled.push({ lease, verdict: "ack" });
    for (const { lease_id: lease, delay_seconds: delay } of retries) {
      this.settled.push({ lease, verdict: delay === undefined ? "retry" : `retry after ${delay}` });
    }
    return { ackCount: acks.length, retryCount: retries.length, warnings: {} };
  }
}

interface MorePull {
  readonly millrace_settle?: Settlement;
  readonly millrace_batches?: number;
}

interface Settlement {
  readonly acks?: readonly { readonly lease_id: string }[];
  readonly retries?: readonly { readonly lease_id: string; readonly delay_seconds?: number }[];
}

export function ok(result: unknown): Reply {
  return { body: { success: true, errors: [], messages: [], result } };
}

export function refusal(
  status: number,
  code: number,
  message: string,
  headers: Readonly<Record<string, string>> = {},
): Reply {
  return {
    status,
    headers,
    body: { success: false, errors: [{ code, message }], messages: [], result: null },
  };
}

/** A pulled message with this JSON body; its lease is `lease-<id>`. */
export function pulled(id: string, value: unknown = { id }, fields: Partial<PulledMessage> = {}): PulledMessage {
  return {
    id,
    lease_id: `lease-${id}`,
    body: Buffer.from(JSON.stringify(value)).toString("base64"),
    attempts: 1,
    timestamp_ms: 1_800_000_000_000,
    metadata: { "CF-Content-Type": "json" },
    ...fields,
  };
}
