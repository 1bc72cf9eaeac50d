// A queue over REST: the producer's interface for programs that are not Workers.

import { Coalescer } from "./coalescer.ts";
import type { Connection, Request } from "./connection.ts";
import { limits } from "./limits.ts";
import { mayHaveHappened } from "./errors.ts";
import { batchDelayOf, bulkBody, encodeBatch, encodeSend, pushBody } from "./message-encoding.ts";
import type { EncodedMessage, MakeMessageId } from "./message-encoding.ts";
import type { QueueAddress } from "./queue-address.ts";
import { readMetrics, readSendResponse } from "./queue-metrics.ts";
import type {
  MessageSendRequest,
  Queue,
  QueueMetrics,
  QueueSendBatchOptions,
  QueueSendBatchResponse,
  QueueSendOptions,
  QueueSendResponse,
} from "./queue.ts";
import type { RetryPolicy } from "./retry.ts";
import type { Time } from "./time.ts";

/** What a queue needs of its client. */
export interface RestQueueParts {
  readonly connection: Connection;
  readonly address: QueueAddress;
  readonly retry: RetryPolicy;
  readonly time: Time;
  /** Absent: messages never travel with ids. */
  readonly makeMessageId: MakeMessageId | undefined;
  /** Whether they travel with ids even where the server did not say that it knows them. */
  readonly alwaysSendsIds: boolean;
  readonly maxSendRequests: number;
  readonly maxWaitingBytes: number;
}

/** Beside its body, about what a waiting message occupies. */
const overheadBytes = 200;

export class RestQueue<Body = unknown> implements Queue<Body> {
  /** For `consume`. */
  readonly parts: RestQueueParts;
  readonly #sends: Coalescer<EncodedMessage, QueueSendResponse>;

  constructor(parts: RestQueueParts) {
    this.parts = parts;
    this.#sends = new Coalescer({
      deliver: async (messages) => readSendResponse(await this.#push(messages)),
      weigh: ({ bytes }) => bytes,
      maxCount: limits.batchSend.count,
      maxWeight: limits.batchSend.bytes,
      overhead: overheadBytes,
      maxWaiting: parts.maxWaitingBytes,
      maxRequests: parts.maxSendRequests,
    });
  }

  async send(message: Body, options?: QueueSendOptions): Promise<QueueSendResponse> {
    return await this.#sends.add(encodeSend(message, options, this.parts.makeMessageId));
  }

  async sendBatch(
    messages: Iterable<MessageSendRequest<Body>>,
    options?: QueueSendBatchOptions,
  ): Promise<QueueSendBatchResponse> {
    const delay = batchDelayOf(options);
    const encoded = encodeBatch(messages, this.parts.makeMessageId);
    return readSendResponse(await this.#post("/messages/batch", (withIds) => bulkBody(encoded, withIds, delay)));
  }

  async metrics(): Promise<QueueMetrics> {
    return readMetrics(await callQueue(this.parts, { method: "GET", path: "/metrics" }));
  }

  async #push(messages: readonly EncodedMessage[]): Promise<unknown> {
    const [only, ...others] = messages;
    if (only !== undefined && others.length === 0) {
      return await this.#post("/messages", (withId) => pushBody(only, withId));
    }
    return await this.#post("/messages/batch", (withIds) => bulkBody(messages, withIds));
  }

  /** Sends; and where it may have been stored though no answer said so, sends again saying since when that is so. */
  async #post(path: string, bodyOf: (withIds: boolean) => string): Promise<unknown> {
    const { connection, time, makeMessageId, alwaysSendsIds } = this.parts;
    let inDoubtSince: number | undefined;
    return await callQueue(this.parts, () => {
      const startedAt = time.now();
      const withIds = makeMessageId !== undefined && (alwaysSendsIds || connection.knowsMessageIds);
      const headers = withIds && inDoubtSince !== undefined ? resendHeader(startedAt - inDoubtSince) : {};
      const onFailure = (error: unknown): void => {
        if (withIds && mayHaveHappened(error)) inDoubtSince ??= startedAt;
      };
      return { method: "POST", path, body: bodyOf(withIds), headers, onFailure };
    });
  }
}

/** The server takes no more than a day. */
const longestResendMs = 86_400_000;

function resendHeader(sinceFirstMs: number): Readonly<Record<string, string>> {
  // The clock may have been set in between.
  return { "millrace-resend": String(Math.min(longestResendMs, Math.max(0, Math.round(sinceFirstMs)))) };
}

/** A request below the queue's path, tried again where that may help; one made by a function is made anew for each try. */
export async function callQueue(
  { address, retry, connection }: RestQueueParts,
  request: Request | (() => Request & { readonly onFailure: (error: unknown) => void }),
): Promise<unknown> {
  const once = async (id: string): Promise<unknown> => {
    const { onFailure, ...made } = typeof request === "function" ? request() : { ...request, onFailure: undefined };
    try {
      return await connection.request({ ...made, path: `/queues/${id}${made.path}` });
    } catch (error) {
      onFailure?.(error);
      throw error;
    }
  };
  return await retry.run(async () => await address.use(once));
}
