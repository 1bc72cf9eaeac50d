// A queue over REST: the producer's interface for programs that are not Workers.

import { Coalescer } from "./coalescer.ts";
import type { Connection, Request } from "./connection.ts";
import { limits } from "./limits.ts";
import { batchDelayOf, bulkBody, encodeBatch, encodeSend } from "./message-encoding.ts";
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
  /** Absent: messages travel without ids. */
  readonly makeMessageId: MakeMessageId | undefined;
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
    const body = bulkBody(encodeBatch(messages, this.parts.makeMessageId), delay);
    return readSendResponse(await this.#call({ method: "POST", path: "/messages/batch", body }));
  }

  async metrics(): Promise<QueueMetrics> {
    return readMetrics(await this.#call({ method: "GET", path: "/metrics" }));
  }

  async #push(messages: readonly EncodedMessage[]): Promise<unknown> {
    const [only, ...others] = messages;
    if (only !== undefined && others.length === 0) {
      return await this.#call({ method: "POST", path: "/messages", body: only.json });
    }
    return await this.#call({ method: "POST", path: "/messages/batch", body: bulkBody(messages) });
  }

  async #call(request: Request): Promise<unknown> {
    return await callQueue(this.parts, request);
  }
}

/** A request below the queue's path, tried again where that may help. */
export async function callQueue({ address, retry, connection }: RestQueueParts, request: Request): Promise<unknown> {
  return await retry.run(
    async () =>
      await address.use(async (id) => await connection.request({ ...request, path: `/queues/${id}${request.path}` })),
  );
}
