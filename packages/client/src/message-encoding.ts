// From the arguments of `send` and `sendBatch` to JSON for the REST API. Everything that can be checked without the server
// is checked here, so that one bad message does not travel with good ones.
//
// The TypeErrors and conversions are those of the Workers runtime (measured with workerd 2026-11-17), so that code behaves
// the same with either: see docs/guides/client.md for the few cases where REST cannot follow.

import { QueueError } from "./errors.ts";
import type { QueueErrorCode } from "./errors.ts";
import { isRecord } from "./json-shape.ts";
import { limits } from "./limits.ts";
import { utf8Length } from "./utf8-length.ts";

/** A message ready to travel. */
export interface EncodedMessage {
  /** A push body of the REST API, as JSON text, without the id. */
  readonly json: string;
  /** An id of our making, by which a server can tell that it has the message already; absent: none is wanted. */
  readonly id: string | undefined;
  /** Of the body as it will be stored: what counts for the limits. */
  readonly bytes: number;
}

export type MakeMessageId = () => string;

export function encodeSend(body: unknown, options: unknown, makeId: MakeMessageId | undefined): EncodedMessage {
  const { contentType, delaySeconds } = optionsOf(options);
  return encode(body, typeOf(contentType).toLowerCase(), delaySeconds, makeId); // send alone takes upper case
}

export function encodeBatch(messages: unknown, makeId: MakeMessageId | undefined): readonly EncodedMessage[] {
  if (!isIterable(messages)) throw new TypeError("sendBatch() takes an iterable of messages");
  const encoded: EncodedMessage[] = [];
  const { count, bytes } = limits.batchSend;
  let total = 0;
  for (const message of messages) {
    if (!isRecord(message)) throw new TypeError("sendBatch() takes messages as objects with a body");
    if (encoded.length === count) {
      throw refused("BATCH_COUNT_INVALID", `The batch has more than ${count} messages`, 10206);
    }
    const one = encode(message["body"], typeOf(message["contentType"]), message["delaySeconds"], makeId);
    total += one.bytes;
    if (total > bytes)
      throw refused("BATCH_TOO_LARGE", `The bodies of the batch exceed ${bytes} bytes together`, 10205);
    encoded.push(one);
  }
  if (encoded.length === 0) throw new TypeError("sendBatch() requires at least one message");
  return encoded;
}

/** The push body of a message. */
export function pushBody({ json, id }: EncodedMessage, withId: boolean): string {
  return withId && id !== undefined ? `${json.slice(0, -1)},"millrace_message_id":"${id}"}` : json;
}

/** The bulk push body that carries messages together. */
export function bulkBody(messages: readonly EncodedMessage[], withIds: boolean, delaySeconds?: number): string {
  const list = messages.map((message) => pushBody(message, withIds)).join(",");
  return `{"messages":[${list}]${delaySeconds === undefined ? "" : `,"delay_seconds":${delaySeconds}`}}`;
}

/** Throws `DELAY_INVALID`. Converts to a whole number like the runtime: 1.7 is 1, "12" is 12, NaN is 0. */
export function parseDelay(value: unknown): number | undefined {
  if (value === undefined) return undefined;
  const delay = Math.trunc(Number(value)) || 0;
  const { min, max, unit } = limits.message.delay;
  if (delay >= min && delay <= max) return delay;
  throw refused("DELAY_INVALID", `A delay of ${delay} ${unit} is outside ${min} to ${max}`, 10203);
}

function encode(body: unknown, type: string, delaySeconds: unknown, makeId: MakeMessageId | undefined): EncodedMessage {
  if (body === undefined) throw new TypeError("Message body cannot be undefined");
  const delay = parseDelay(delaySeconds);
  const { text, bytes } = serialise(body, type);
  if (bytes > limits.message.bytes) {
    throw refused("MESSAGE_TOO_LARGE", `The message has more than ${limits.message.bytes} bytes`, 10204);
  }
  const json = `{"body":${text},"content_type":"${type}"${delay === undefined ? "" : `,"delay_seconds":${delay}`}}`;
  return { json, id: makeId?.(), bytes };
}

/** `text`: the body as JSON text, whatever its type; `bytes`: of the body itself. */
function serialise(body: unknown, type: string): { readonly text: string; readonly bytes: number } {
  switch (type) {
    case "json": {
      const text: string | undefined = JSON.stringify(body);
      if (text === undefined) throw new TypeError(`Message body of type ${typeof body} cannot be represented as JSON`);
      return { text, bytes: utf8Length(text, limits.message.bytes) };
    }
    case "text": {
      if (typeof body !== "string") {
        throw new TypeError(`Content Type "text" requires a value of type string, but received: ${typeof body}`);
      }
      // Half of a surrogate pair has no UTF-8 form: it would arrive as something else.
      if (/\p{Surrogate}/u.test(body)) throw new TypeError('Content Type "text" requires well-formed Unicode');
      return { text: JSON.stringify(body), bytes: utf8Length(body, limits.message.bytes) };
    }
    case "bytes":
    case "v8":
      throw refused("CONTENT_TYPE_UNSUPPORTED", `Content type "${type}" cannot travel over REST, only json and text`);
    default:
      throw new TypeError(`Unsupported queue message content type: ${type}`);
  }
}

function typeOf(contentType: unknown): string {
  if (contentType === undefined) return "json";
  return typeof contentType === "string" ? contentType : `a ${typeof contentType}`;
}

function refused(code: QueueErrorCode, detail: string, number?: number): QueueError {
  return QueueError.local(code, detail, number === undefined ? {} : { cloudflareCodes: [number] });
}

function optionsOf(options: unknown): { readonly contentType?: unknown; readonly delaySeconds?: unknown } {
  if (options === undefined || options === null) return {};
  if (isRecord(options)) return options;
  throw new TypeError(`Options of send() must be an object, but received: ${typeof options}`);
}

/** The delay of a whole batch. */
export function batchDelayOf(options: unknown): number | undefined {
  return parseDelay(optionsOf(options).delaySeconds);
}

function isIterable(value: unknown): value is Iterable<unknown> {
  return (typeof value === "object" || typeof value === "string") && value !== null && Symbol.iterator in Object(value);
}
