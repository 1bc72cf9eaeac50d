// Queues and their consumers over REST. Source: rest-api.md sections 3 and 4.

import { z } from "zod";
import { limits } from "../limits.ts";
import { flag, identifier, text, timestamp, wholeNumber } from "./fields.ts";

const { queue, consumer, pull } = limits;

const jurisdiction = z.enum(["eu", "us", "fedramp"], { error: "expected one of eu, us, fedramp" });

const queueSettings = z.looseObject(
  {
    delivery_delay: wholeNumber(queue.deliveryDelay).optional(),
    delivery_paused: flag.optional(),
    message_retention_period: wholeNumber(queue.retention).optional(),
  },
  { error: "expected an object" },
);

/** The name's own rules are checked apart: they have an error code of their own. */
export const createQueueBody = z.object(
  {
    queue_name: text,
    settings: queueSettings.optional(),
    jurisdiction: jurisdiction.optional(),
  },
  { error: "expected an object" },
);

export const changeQueueBody = z.object(
  {
    queue_name: text.optional(),
    settings: queueSettings.optional(),
    jurisdiction: jurisdiction.optional(),
  },
  { error: "expected an object" },
);

const workerSettings = z.looseObject(
  {
    batch_size: wholeNumber(consumer.batchSize).optional(),
    max_retries: wholeNumber(consumer.maxRetries).optional(),
    max_wait_time_ms: wholeNumber(consumer.maxWait).optional(),
    max_concurrency: wholeNumber(consumer.maxConcurrency).nullable().optional(),
    retry_delay: wholeNumber(consumer.retryDelay).optional(),
  },
  { error: "expected an object" },
);

const pullSettings = z.looseObject(
  {
    batch_size: wholeNumber(pull.batchSize).optional(),
    max_retries: wholeNumber(consumer.maxRetries).optional(),
    visibility_timeout_ms: wholeNumber(pull.visibilityTimeout).optional(),
    retry_delay: wholeNumber(consumer.retryDelay).optional(),
  },
  { error: "expected an object" },
);

/** A name; empty or `null`: none. */
const deadLetterQueue = text.nullable().optional();

export const consumerBody = z.discriminatedUnion(
  "type",
  [
    z.object({
      type: z.literal("worker"),
      script_name: text.optional(),
      /** The name under which consumers are shown to wrangler; taken where `script_name` is absent. */
      script: text.optional(),
      environment_name: text.nullable().optional(),
      dead_letter_queue: deadLetterQueue,
      settings: workerSettings.optional(),
    }),
    z.object({
      type: z.literal("http_pull"),
      dead_letter_queue: deadLetterQueue,
      settings: pullSettings.optional(),
    }),
  ],
  { error: "expected an object with type worker or http_pull" },
);

export const consumerView = z.object({
  consumer_id: identifier,
  created_on: timestamp,
  queue_id: identifier,
  queue_name: z.string(),
  type: z.enum(["worker", "http_pull"]),
  script: z.string().optional(),
  script_name: z.string().optional(),
  environment: z.string().optional(),
  settings: z.object({
    batch_size: z.int(),
    max_retries: z.int(),
    retry_delay: z.int(),
    max_wait_time_ms: z.int().optional(),
    max_concurrency: z.int().nullable().optional(),
    visibility_timeout_ms: z.int().optional(),
  }),
  /** A queue's name; empty: none. */
  dead_letter_queue: z.string(),
});

export const queueView = z.object({
  queue_id: identifier,
  queue_name: z.string(),
  created_on: timestamp,
  modified_on: timestamp,
  producers: z.array(z.object({ type: z.literal("worker"), script: z.string() })),
  producers_total_count: z.int(),
  consumers: z.array(consumerView),
  consumers_total_count: z.int(),
  settings: z.object({
    delivery_delay: z.int(),
    delivery_paused: z.boolean(),
    message_retention_period: z.int(),
  }),
  jurisdiction: z.string().optional(),
});

export type QueueView = z.infer<typeof queueView>;
export type ConsumerView = z.infer<typeof consumerView>;
export type ConsumerBody = z.infer<typeof consumerBody>;

/** Settings that exist, by what they belong to: anything else in `settings` is told to the caller. */
export const knownSettings = {
  queue: Object.keys(queueSettings.shape),
  worker: Object.keys(workerSettings.shape),
  http_pull: Object.keys(pullSettings.shape),
} as const satisfies Record<string, readonly string[]>;
