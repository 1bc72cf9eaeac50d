// The client: where the REST API is, who asks, and the queues behind it.

import { Connection } from "./connection.ts";
import type { Fetch } from "./connection.ts";
import { QueueError } from "./errors.ts";
import { messageIdMaker, systemRandomBytes } from "./message-ids.ts";
import { requireWholeNumber } from "./option-rules.ts";
import { QueueAddress } from "./queue-address.ts";
import type { Queue } from "./queue.ts";
import { RestQueue } from "./rest-queue.ts";
import { RetryPolicy } from "./retry.ts";
import type { RetryOptions } from "./retry.ts";
import { systemTime } from "./time.ts";
import type { Time } from "./time.ts";

export interface ClientOptions {
  /** Of the REST API, such as `http://127.0.0.1:8788/client/v4`; `/client/v4` is added to an address without a path. */
  readonly baseUrl: string;
  /** 32 hex digits. */
  readonly accountId: string;
  /** May read and write the queues. */
  readonly token: string;
  /** Default: the runtime's own. */
  readonly fetch?: Fetch | undefined;
  /** How long one request may take, beside what it was asked to wait. Default 30,000. */
  readonly requestTimeoutMs?: number | undefined;
  /** What is tried again: 429, 5xx and connections that fail. */
  readonly retry?: RetryOptions | undefined;
  /** Send requests of one queue at once, 1 to 100; those beyond the first go out only when there is a full one. Default 1. */
  readonly maxSendRequests?: number | undefined;
  /** What may wait to be sent to one queue, in bytes; sends beyond it are refused (`TOO_MANY_WAITING`). Default 64 MiB. */
  readonly maxWaitingBytes?: number | undefined;
  /**
   * Gives each message an id, by which the server knows a message that was sent again because the answer was lost, and stores it
   * once. Default: once the server has said that it knows such ids, as Millrace does with every answer. `true`: always, `false`: never.
   */
  readonly messageIds?: boolean | undefined;
  /** For tests. */
  readonly time?: Time | undefined;
  /** For tests. */
  readonly randomBytes?: ((count: number) => Uint8Array) | undefined;
}

export interface Client {
  /**
   * The queue of this name or id (32 hex digits); always the same object for the same text. Asks the server nothing yet: that
   * a queue does not exist shows when it is used. Throws `QUEUE_NAME_INVALID`.
   */
  queue<Body = unknown>(nameOrId: string): Queue<Body>;
}

/** Throws `OPTION_INVALID`. */
export function createClient(options: ClientOptions): Client {
  const { maxSendRequests = 1, maxWaitingBytes = 67_108_864, requestTimeoutMs = 30_000 } = options;
  const { time = systemTime, randomBytes = systemRandomBytes } = options;
  requireWholeNumber("maxSendRequests", maxSendRequests, { min: 1, max: 100, unit: "requests" });
  requireWholeNumber("maxWaitingBytes", maxWaitingBytes, { min: 1_000_000, max: 2 ** 40, unit: "bytes" });
  requireWholeNumber("requestTimeoutMs", requestTimeoutMs, { min: 1, max: 3_600_000, unit: "milliseconds" });
  const retry = new RetryPolicy(options.retry ?? {}, time, randomBytes);
  const connection = new Connection({
    root: parseBaseUrl(options.baseUrl),
    accountId: parseAccountId(options.accountId),
    token: parseToken(options.token),
    fetch: options.fetch ?? globalFetch(),
    requestTimeoutMs,
    time,
  });
  const parts = {
    connection,
    retry,
    time,
    makeMessageId: options.messageIds === false ? undefined : messageIdMaker(time, randomBytes),
    alwaysSendsIds: options.messageIds === true,
    maxSendRequests,
    maxWaitingBytes,
  };
  const queues = new Map<string, RestQueue>();
  return {
    queue<Body>(nameOrId: string): Queue<Body> {
      let queue = queues.get(nameOrId);
      if (queue === undefined) {
        queue = new RestQueue({ ...parts, address: new QueueAddress(nameOrId, connection) });
        queues.set(nameOrId, queue);
      }
      return queue;
    },
  };
}

function parseBaseUrl(baseUrl: string): string {
  const url = urlOf(baseUrl);
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    throw QueueError.local(
      "OPTION_INVALID",
      `baseUrl: expected an http or https address, got ${JSON.stringify(baseUrl)}`,
    );
  }
  return url.pathname === "/" ? `${url.href.slice(0, -1)}/client/v4` : url.href.replace(/\/+$/, "");
}

function urlOf(
  text: string,
): { readonly protocol: string; readonly pathname: string; readonly href: string } | undefined {
  try {
    return new URL(text);
  } catch {
    return undefined; // told by the caller, with the option's name
  }
}

function parseAccountId(accountId: string): string {
  if (typeof accountId === "string" && /^[0-9a-f]{32}$/i.test(accountId)) return accountId.toLowerCase();
  throw QueueError.local("OPTION_INVALID", `accountId: expected 32 hex digits, got ${JSON.stringify(accountId)}`);
}

/** The token itself is never shown. */
function parseToken(token: string): string {
  if (typeof token === "string" && /^[\x21-\x7e]+$/.test(token)) return token;
  throw QueueError.local("OPTION_INVALID", "token: expected printable characters without spaces");
}

function globalFetch(): Fetch {
  const surroundings = globalThis as { readonly fetch?: Fetch };
  if (typeof surroundings.fetch !== "function") {
    throw QueueError.local("OPTION_INVALID", "fetch: this runtime has none of its own, so it must be given");
  }
  // Called as a method of the global object: browsers and Workers refuse it otherwise. Looked up anew each time, so that
  // instrumentation installed later is seen.
  return async (url, init) => {
    if (surroundings.fetch === undefined) throw new TypeError("fetch is gone");
    return await surroundings.fetch(url, init);
  };
}
