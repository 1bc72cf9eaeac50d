// Messages over REST: push, pull, ack, peek, purge. Source: rest-api.md section 5.

import { z } from "zod";
import { limits } from "../limits.ts";
import { anyJson, flag, text, timestamp, wholeNumber } from "./fields.ts";

export const messageMetrics = z.object({
  backlog_bytes: z.int(),
  backlog_count: z.int(),
  /** 0: nothing is stored, or it is not known. */
  oldest_message_timestamp_ms: z.int(),
});

export type MessageMetrics = z.infer<typeof messageMetrics>;

/** Any number: its range has an error code of its own, checked where messages are made. */
const delaySeconds = z.number({ error: "expected a whole number of seconds" });

const messageIdPattern = /^[0-9a-f]{32}$/;
export const messageId = z
  .string({ error: "expected 32 lower-case hex digits" })
  .regex(messageIdPattern, { error: "expected 32 lower-case hex digits" });

const pushItem = z.object(
  {
    body: anyJson,
    /** `json` when absent. Other types are refused with a code of their own. */
    content_type: text.optional(),
    delay_seconds: delaySeconds.optional(),
    /** An extension: the sender's own id, so that a send repeated after a lost answer stores nothing twice. */
    millrace_message_id: messageId.optional(),
  },
  { error: "expected an object with a body" },
);

export const pushBody = pushItem;
export type PushItem = z.infer<typeof pushItem>;

/** Whether `pushBody` takes a body as it is: a fraction of its cost, and on the way of every message. */
export function isPushItem(input: unknown): input is PushItem {
  if (typeof input !== "object" || input === null) return false;
  const { body, content_type, delay_seconds, millrace_message_id: id } = input as Record<string, unknown>;
  return (
    body !== undefined &&
    (content_type === undefined || typeof content_type === "string") &&
    (delay_seconds === undefined || Number.isFinite(delay_seconds)) &&
    (id === undefined || (typeof id === "string" && messageIdPattern.test(id)))
  );
}

export const bulkPushBody = z.object(
  {
    messages: z.array(pushItem, { error: "expected an array of messages" }),
    delay_seconds: delaySeconds.optional(),
  },
  { error: "expected an object with messages" },
);

/** As `isPushItem`, for `bulkPushBody`. */
export function isBulkPush(input: unknown): input is z.output<typeof bulkPushBody> {
  if (typeof input !== "object" || input === null) return false;
  const { messages, delay_seconds } = input as Record<string, unknown>;
  return (
    Array.isArray(messages) &&
    messages.every(isPushItem) &&
    (delay_seconds === undefined || Number.isFinite(delay_seconds))
  );
}

export const pushResult = z.object({ metadata: z.object({ metrics: messageMetrics }) });

/** Leases that one request may settle. */
const maxLeases = 1_000;
const tooMany = { error: `expected at most ${maxLeases} leases` };
const leases = <T extends z.ZodType>(item: T) => z.array(item, { error: "expected an array" }).max(maxLeases, tooMany);

export const ackBody = z.object(
  {
    acks: leases(z.object({ lease_id: text }, { error: "expected an object with a lease_id" })).optional(),
    retries: leases(
      z.object(
        { lease_id: text, delay_seconds: wholeNumber(limits.message.delay).optional() },
        { error: "expected an object with a lease_id" },
      ),
    ).optional(),
  },
  { error: "expected an object with acks or retries" },
);

/** Whether `ackBody` takes a body as it is, when it only acknowledges: then there may be hundreds of leases. */
export function isAck(input: unknown): input is z.output<typeof ackBody> {
  if (typeof input !== "object" || input === null) return false;
  const { acks, retries } = input as Record<string, unknown>;
  const hasNoRetries = retries === undefined || (Array.isArray(retries) && retries.length === 0);
  return hasNoRetries && Array.isArray(acks) && acks.length <= maxLeases && acks.every(isLease);
}

function isLease(input: unknown): boolean {
  return (
    typeof input === "object" && input !== null && typeof (input as Record<string, unknown>)["lease_id"] === "string"
  );
}

export const ackResult = z.object({
  ackCount: z.int(),
  retryCount: z.int(),
  /** By lease id. */
  warnings: z.record(z.string(), z.string()),
});

/** Of an extension: batches that one pull may take. Bodies of 128 KB are 64 MB then. */
const pullBatches = { min: 1, max: 5, default: 1, unit: "batches" } as const;

/** Unknown keys are ignored: some published examples carry a `visibility_timeout` that does not exist. */
export const pullBody = z
  .object(
    {
      batch_size: wholeNumber(limits.pull.batchSize).optional(),
      visibility_timeout_ms: wholeNumber(limits.pull.visibilityTimeout).optional(),
      /** An extension: up to so many times the batch size. */
      millrace_batches: wholeNumber(pullBatches).optional(),
      /** An extension: leases to settle in the same step, before others are made. */
      millrace_settle: ackBody.optional(),
    },
    { error: "expected an object" },
  )
  .optional();

/** As `isAck`, for a pull that settles what was pulled before. */
export function isPull(input: unknown): input is z.output<typeof pullBody> {
  if (typeof input !== "object" || input === null || Array.isArray(input)) return false;
  const { batch_size, visibility_timeout_ms, millrace_batches, millrace_settle } = input as Record<string, unknown>;
  return (
    isWholeOrAbsent(batch_size, limits.pull.batchSize) &&
    isWholeOrAbsent(visibility_timeout_ms, limits.pull.visibilityTimeout) &&
    isWholeOrAbsent(millrace_batches, pullBatches) &&
    (millrace_settle === undefined || isAck(millrace_settle))
  );
}

function isWholeOrAbsent(value: unknown, { min, max }: { readonly min: number; readonly max: number }): boolean {
  return value === undefined || (Number.isInteger(value) && min <= (value as number) && (value as number) <= max);
}

const messageMetadata = z.record(z.string(), z.string());

const shownMessage = z.object({
  id: z.string(),
  /** `text` as it is, every other content type in base64. */
  body: z.string(),
  attempts: z.int(),
  timestamp_ms: z.int(),
  metadata: messageMetadata,
});

export const pullResult = z.object({
  message_backlog_count: z.int(),
  messages: z.array(shownMessage.extend({ lease_id: z.string() })),
  metadata: z.object({ metrics: messageMetrics }),
  /** An extension: what became of `millrace_settle`. */
  millrace_settled: ackResult.optional(),
});

export const extendBody = z.object(
  {
    leases: leases(z.object({ lease_id: text }, { error: "expected an object with a lease_id" })),
    visibility_timeout_ms: wholeNumber(limits.pull.visibilityTimeout),
  },
  { error: "expected an object with leases" },
);

export const extendResult = z.object({
  extendedCount: z.int(),
  warnings: z.record(z.string(), z.string()),
});

export const peekBody = z
  .object(
    {
      batch_size: wholeNumber(limits.peek.batchSize).optional(),
      /** An extension: continues behind the message of this ref. */
      after: text.optional(),
    },
    { error: "expected an object" },
  )
  .optional();

export const peekResult = z.object({
  messages: z.array(
    shownMessage.extend({
      ref: z.string(),
      /** An extension: `ready`, `delayed` or `leased`, and until when. */
      state: z.enum(["ready", "delayed", "leased"]),
      until_ms: z.int().optional(),
    }),
  ),
});

export const purgeByRefBody = z.object(
  {
    refs: z
      .array(z.object({ ref: text }, { error: "expected an object with a ref" }), { error: "expected an array" })
      .min(1, { error: "expected at least one ref" })
      .max(limits.peek.batchSize.max * 10, { error: `expected at most ${limits.peek.batchSize.max * 10} refs` }),
  },
  { error: "expected an object with refs" },
);

export const purgeByRefResult = z.object({
  errors: z.array(z.object({ message: z.string() })),
  /** By ref. */
  warnings: z.record(z.string(), z.string()),
});

export const startPurgeBody = z.object(
  { delete_messages_permanently: flag.optional() },
  { error: "expected an object with delete_messages_permanently: true" },
);

/** `completed` is a string in the published schema. */
export const purgeStatus = z.object({ completed: z.string(), complete: z.boolean(), started_at: timestamp });
