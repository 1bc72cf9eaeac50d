// Export and import of a queue's messages as JSON lines. An extension.

import { z } from "zod";
import { contentTypes } from "../../core/index.ts";
import { messageId } from "./messages.ts";

/** What one request carries. Whoever has more asks again: neither side ever holds more than this. */
export const transferLimits = {
  /** Messages of one page of an export, and lines of one import. */
  messages: 1_000,
  /** A page ends behind the message with which its bodies come to this many bytes. */
  pageBytes: 1_000_000,
  /** An import. A message of the largest size has at most a fifth of this as a line. */
  importBytes: 4_000_000,
} as const;

/** Tells behind which message the next page begins. Absent on the last page. */
export const nextPageHeader = "millrace-next";

export const exportQuery = z.object({
  /** The `Millrace-Next` of the page before; absent: from the oldest message on. */
  after: z.string().optional(),
});

export const importQuery = z.object({
  /** Number of the first line, for what is said about lines; 1 when absent. */
  first_line: z
    .string()
    .regex(/^[1-9]\d{0,14}$/, { error: "expected a whole number from 1" })
    .optional(),
});

export const importResult = z.object({
  imported: z.int(),
  /** Lines whose message the queue holds already: they changed nothing. */
  already_there: z.int(),
  backlog_count: z.int(),
});

const milliseconds = z.int({ error: "expected whole milliseconds" }).min(0, { error: "expected whole milliseconds" });
const base64 = z.base64({ error: "expected base64" });

/** One line. Beside these an export tells `attempts`, which begin again where it is imported. */
export const messageLine = z.object(
  {
    id: messageId,
    content_type: z.enum(contentTypes, { error: `expected ${contentTypes.join(", ")}` }),
    /** `json`: any value; `text`: a string. */
    body: z.unknown().optional(),
    /** Instead of `body`: `bytes`, `v8`, and what is not what its content type says. */
    body_base64: base64.optional(),
    /** When it was sent; absent: now. */
    timestamp_ms: milliseconds.optional(),
    state: z.enum(["ready", "delayed", "leased"], { error: "expected ready, delayed or leased" }).optional(),
    /** When a delayed message is due, or a lease ends. */
    until_ms: milliseconds.optional(),
    /** Where it came from when not from a program. */
    source: z
      .string({ error: "expected a string" })
      .refine((source) => source.isWellFormed() && source.length <= 60, { error: "expected at most 60 characters" })
      .optional(),
  },
  { error: "expected an object with id, content_type and body" },
);

export type MessageLine = z.infer<typeof messageLine>;
