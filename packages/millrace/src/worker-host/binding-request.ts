// What a Worker's queue binding sends, read into items to send. Source: runtime-protocol.md section 2.

import { MillraceError } from "../core/index.ts";
import { limits } from "../contract/index.ts";
import type { SendItem } from "../contract/index.ts";

/** The runtime's name for "no content type": bodies of Workers with an old compatibility date. */
const implicitContentType = "v8";

export interface BatchRequest {
  readonly items: readonly SendItem[];
  readonly batchDelaySeconds: number | undefined;
}

export function readMessage(body: Uint8Array, format: string | undefined, delay: string | undefined): SendItem {
  const contentType = format ?? implicitContentType;
  rejectUndefined(body, contentType);
  return { contentType, body, delaySeconds: readDelay(delay) };
}

export function readBatch(text: string, delay: string | undefined): BatchRequest {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (cause) {
    throw new MillraceError("REQUEST_MALFORMED", "The batch is not JSON", { cause });
  }
  const messages = isRecord(parsed) ? parsed["messages"] : undefined;
  if (!Array.isArray(messages)) throw new MillraceError("REQUEST_INVALID", "The batch has no list of messages");
  const { max } = limits.batchSend.count;
  if (messages.length > max) {
    throw new MillraceError(
      "BATCH_COUNT_INVALID",
      `Batch message count of ${messages.length} exceeds the limit of ${max}`,
    );
  }
  return { items: messages.map(readBatchItem), batchDelaySeconds: readDelay(delay) };
}

function readBatchItem(value: unknown): SendItem {
  const item = isRecord(value) ? value : {};
  const { body, contentType = implicitContentType, delaySecs } = item;
  if (typeof body !== "string" || typeof contentType !== "string") {
    throw new MillraceError("REQUEST_INVALID", "A message of the batch has no body");
  }
  if (delaySecs !== undefined && typeof delaySecs !== "number") {
    throw new MillraceError("DELAY_INVALID", "A message delay is not a number");
  }
  const bytes = fromBase64(body);
  rejectUndefined(bytes, contentType);
  return { contentType, body: bytes, delaySeconds: delaySecs };
}

/** Bytes of their own, not a piece of a shared pool: the engine keeps them. */
function fromBase64(text: string): Uint8Array {
  const bytes = Buffer.allocUnsafeSlow(Buffer.byteLength(text, "base64"));
  const written = bytes.write(text, "base64");
  return written === bytes.byteLength ? bytes : bytes.subarray(0, written);
}

function readDelay(text: string | undefined): number | undefined {
  return text === undefined ? undefined : Number(text);
}

/**
 * A function or symbol sent as `json` arrives as the nine bytes `undefined`. Cloudflare takes it and the consumer can never
 * read it; here the sender is told at once. Nothing else that is not JSON can come from the runtime, which serialises itself.
 */
function rejectUndefined(body: Uint8Array, contentType: string): void {
  if (
    contentType !== "json" ||
    body.byteLength !== 9 ||
    body[0] !== 0x75 ||
    Buffer.from(body).toString() !== "undefined"
  )
    return;
  throw new MillraceError("BODY_NOT_JSON", "A function or symbol cannot be sent as json");
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null;
