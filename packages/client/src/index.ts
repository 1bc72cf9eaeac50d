// What is public.

export { createClient } from "./client.ts";
export type { Client, ClientOptions } from "./client.ts";
export type { Fetch, FetchInit, FetchResponse } from "./connection.ts";
export { consume } from "./consumer.ts";
export type { Consumer, HandlerContext, QueueHandler } from "./consumer.ts";
export type { ConsumeOptions } from "./consume-options.ts";
export type { ConsumerEvent } from "./consumer-events.ts";
export { QueueError } from "./errors.ts";
export type { QueueErrorCode } from "./errors.ts";
export type { Message, MessageBatch, QueueRetryOptions } from "./message-batch.ts";
export type {
  MessageSendRequest,
  Queue,
  QueueContentType,
  QueueMetrics,
  QueueSendBatchOptions,
  QueueSendBatchResponse,
  QueueSendOptions,
  QueueSendResponse,
} from "./queue.ts";
export type { RetryOptions } from "./retry.ts";
export type { Time } from "./time.ts";
