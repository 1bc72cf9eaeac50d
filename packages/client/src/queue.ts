// The producer's interface, the same as that of a Worker's queue binding, so that code written against one takes the other.
// Source: developers.cloudflare.com/queues/configuration/javascript-apis; queues over REST take json and text only.

/** State of a queue's backlog: messages stored and not acknowledged, those in flight included. Best effort. */
export interface QueueMetrics {
  readonly backlogCount: number;
  readonly backlogBytes: number;
  /** Absent when the queue is empty, or the server does not know. */
  readonly oldestMessageTimestamp?: Date;
}

/** What REST carries. A Worker's binding also takes `bytes` and `v8`; here they are refused. */
export type QueueContentType = "json" | "text";

export interface QueueSendOptions {
  /** Default `json`. */
  readonly contentType?: QueueContentType;
  /** Seconds before the message may be delivered, 0 to 86,400. Absent: the queue's own delay; 0 overrides that. */
  readonly delaySeconds?: number;
}

export interface QueueSendBatchOptions {
  /** For messages without their own. */
  readonly delaySeconds?: number;
}

export interface MessageSendRequest<Body = unknown> extends QueueSendOptions {
  readonly body: Body;
}

export interface QueueSendResponse {
  readonly metadata: { readonly metrics: QueueMetrics };
}

export interface QueueSendBatchResponse {
  readonly metadata: { readonly metrics: QueueMetrics };
}

/** May be used concurrently. Failures reject: `TypeError` for wrong arguments, as in a Worker, else `QueueError`. */
export interface Queue<Body = unknown> {
  /**
   * Sends one message; resolves when the server has it on disk. The body is serialised before `send` returns. What is sent
   * while an earlier send is under way travels together in the next request, each with its own outcome.
   */
  send(message: Body, options?: QueueSendOptions): Promise<QueueSendResponse>;
  /** Sends 1 to 100 messages, together at most 256,000 bytes, in one request: all or none. */
  sendBatch(
    messages: Iterable<MessageSendRequest<Body>>,
    options?: QueueSendBatchOptions,
  ): Promise<QueueSendBatchResponse>;
  metrics(): Promise<QueueMetrics>;
}
