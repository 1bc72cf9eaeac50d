// One request to the REST API and its envelope, as a result or a QueueError. Tries once.

import { codeOf, QueueError } from "./errors.ts";
import { isRecord } from "./json-shape.ts";
import type { Time } from "./time.ts";

/** What the client asks of `fetch`; the global one of every runtime fits. */
export type Fetch = (url: string, init: FetchInit) => Promise<FetchResponse>;

export interface FetchInit {
  readonly method: string;
  readonly headers: Record<string, string>;
  readonly body?: string;
  readonly signal: AbortSignal;
}

export interface FetchResponse {
  readonly status: number;
  readonly headers: { get(name: string): string | null };
  text(): Promise<string>;
}

export interface ConnectionOptions {
  /** Ends in `/client/v4`, without a slash behind it. */
  readonly root: string;
  readonly accountId: string;
  readonly token: string;
  readonly fetch: Fetch;
  readonly requestTimeoutMs: number;
  readonly time: Time;
}

export interface Request {
  readonly method: "GET" | "POST";
  /** Below the account. */
  readonly path: string;
  /** JSON text. */
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Longer than usual by this much: what the server was asked to wait. */
  readonly waitMs?: number;
  /** Ends the request, with code `STOPPED`; but once an answer has begun to arrive it is taken in, for it may hold leases. */
  readonly signal?: AbortSignal;
}

export class Connection {
  readonly #options: ConnectionOptions;
  #knowsMessageIds = false;

  constructor(options: ConnectionOptions) {
    this.#options = options;
  }

  /** Whether the server said that it knows ids of senders. Cloudflare's does not, and may refuse a field it does not know. */
  get knowsMessageIds(): boolean {
    return this.#knowsMessageIds;
  }

  /** Answers `result` of the envelope. Throws `QueueError`. */
  async request(request: Request): Promise<unknown> {
    const { time, requestTimeoutMs } = this.#options;
    const { signal, waitMs = 0 } = request;
    const controller = new AbortController();
    let ended: "late" | "stopped" | undefined;
    const stop = (): void => {
      ended = "stopped";
      controller.abort();
    };
    if (signal?.aborted === true) throw stopped(request);
    signal?.addEventListener("abort", stop, { once: true });
    const timeoutMs = requestTimeoutMs + waitMs;
    const cancelTimeout = time.after(timeoutMs, () => {
      ended = "late";
      controller.abort();
    });
    try {
      const response = await this.#send(request, controller.signal);
      signal?.removeEventListener("abort", stop);
      const result = resultOf(response, await response.text());
      this.#knowsMessageIds = response.headers.get("millrace-message-ids") === "known";
      return result;
    } catch (error) {
      if (error instanceof QueueError) throw error;
      throw failureOf(request, ended, timeoutMs, error);
    } finally {
      cancelTimeout();
      signal?.removeEventListener("abort", stop);
    }
  }

  async #send({ method, path, body, headers }: Request, signal: AbortSignal): Promise<FetchResponse> {
    const { root, accountId, token, fetch } = this.#options;
    return await fetch(`${root}/accounts/${accountId}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body !== undefined && { "content-type": "application/json" }),
        ...headers,
      },
      ...(body !== undefined && { body }),
      signal,
    });
  }
}

/** Why no answer came. */
function failureOf(
  request: Request,
  ended: "late" | "stopped" | undefined,
  timeoutMs: number,
  cause: unknown,
): QueueError {
  if (ended === "stopped") return stopped(request);
  const what = `${request.method} ${request.path}`;
  if (ended === "late") {
    const detail = `${what} was not answered within ${timeoutMs} ms`;
    return QueueError.local("TIMEOUT", detail, { retryable: true, cause });
  }
  return QueueError.local("CONNECTION_FAILED", `${what} failed: ${reasonOf(cause)}`, { retryable: true, cause });
}

function stopped({ method, path }: Request): QueueError {
  return QueueError.local("STOPPED", `${method} ${path} was given up`);
}

/** Runtimes put what happened (connection refused, unknown host) into the cause, under a sentence that says little. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error && error.cause.message !== "" ? error.cause.message : error.message;
}

function resultOf(response: FetchResponse, text: string): unknown {
  const { status } = response;
  const envelope = parseJson(text);
  if (status >= 200 && status < 300 && isRecord(envelope) && envelope["success"] === true) return envelope["result"];
  if (status < 400 && !isRecord(envelope)) {
    throw QueueError.local("RESPONSE_INVALID", `The answer (HTTP ${status}) is not that of the REST API`, { status });
  }
  throw refusalOf(response, isRecord(envelope) ? envelope["errors"] : undefined);
}

function refusalOf({ status, headers }: FetchResponse, told: unknown): QueueError {
  const errors = Array.isArray(told) ? told.filter(isRecord) : [];
  const cloudflareCodes = errors.map(({ code }) => code).filter((code) => typeof code === "number");
  const words = errors
    .map(({ message }) => message)
    .filter((message) => typeof message === "string")
    .join("; ");
  // Says more than the status: some 5xx and 429 will not go away by themselves.
  const shouldRetry = headers.get("x-should-retry");
  const usuallyRetried = status === 408 || status === 429 || status >= 500;
  return QueueError.told(
    codeOf(status, cloudflareCodes),
    words === "" ? "The server refused without a reason" : words,
    status,
    {
      cloudflareCodes,
      retryable: shouldRetry === null ? usuallyRetried : shouldRetry === "true",
      retryAfterMs: retryAfterOf(headers),
    },
  );
}

function retryAfterOf(headers: FetchResponse["headers"]): number | undefined {
  const ms = headers.get("retry-after-ms");
  const seconds = headers.get("retry-after"); // may be a date too, which nothing here sends
  const asked = ms === null ? Number(seconds ?? Number.NaN) * 1_000 : Number(ms);
  return Number.isFinite(asked) && asked >= 0 ? asked : undefined;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // told by the caller as an answer that is not the API's
  }
}
