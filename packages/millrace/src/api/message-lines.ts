// A message as a line of JSON, in both directions. Everything a message is stands in its line; bodies that JSON can show are shown.

import { Buffer } from "node:buffer";
import { after, epochMs, isMillraceError, MillraceError, milliseconds } from "../core/index.ts";
import type { EpochMs, MessageId, NewMessage, PeekedMessage } from "../core/index.ts";
import { limits } from "../contract/index.ts";
import { fieldProblems, messageLine } from "../contract/rest/index.ts";
import type { MessageLine } from "../contract/rest/index.ts";
import { parseJsonBody } from "./json-body.ts";

/** Clocks of two servers may differ by this much. */
const clockSlack = milliseconds(60_000);
const longestDelay = milliseconds(limits.message.delay.max * 1_000);

/** Without the newline. */
export function writeMessageLine(message: PeekedMessage): string {
  const readable = readableBody(message);
  if (readable !== undefined) {
    const line = `${headOf(message)},"body":${readable}}`;
    if (isReadBack(line)) return line;
  }
  const { buffer, byteOffset, byteLength } = message.body;
  return `${headOf(message)},"body_base64":"${Buffer.from(buffer, byteOffset, byteLength).toString("base64")}"}`;
}

function headOf({ id, contentType, sentAt, attempts, state, until, source }: PeekedMessage): string {
  const head = { id, content_type: contentType, timestamp_ms: sentAt, attempts, state, until_ms: until, source };
  return JSON.stringify(head).slice(0, -1);
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** As JSON text of one line; `undefined` when JSON cannot show it. */
function readableBody({ contentType, body }: PeekedMessage): string | undefined {
  if (contentType !== "json" && contentType !== "text") return undefined;
  try {
    const text = utf8.decode(body);
    // Between the parts of a JSON text a line break is a space; within its strings there is none.
    return contentType === "text" ? JSON.stringify(text) : text.replaceAll(/[\r\n]/g, " ");
  } catch {
    return undefined; // not UTF-8, though its content type says so
  }
}

/** What was stored as JSON need not be any. */
function isReadBack(line: string): boolean {
  try {
    const value = parseJsonBody(Buffer.from(line));
    return typeof value === "object" && value !== null && "body" in value;
  } catch {
    return false;
  }
}

export interface LineOptions {
  readonly now: EpochMs;
  /** Whether who imports may bring serialised values of the runtime along. */
  readonly allowsV8: boolean;
}

export interface ReadLines {
  readonly messages: readonly NewMessage[];
  /** Blank ones included. */
  readonly lines: number;
  /** A line does not say when its message was sent: it may be stored already since any time. */
  readonly isUntimed: boolean;
}

/** Messages of the lines, blank ones left out. Throws `REQUEST_INVALID` and others with the number of the first bad line. */
export function readMessageLines(bytes: Uint8Array, firstLine: number, options: LineOptions): ReadLines {
  const messages: NewMessage[] = [];
  let isUntimed = false;
  let number = firstLine;
  for (const line of linesOf(bytes)) {
    try {
      if (!isBlank(line)) {
        const { message, isTimed } = readMessageLine(line, options);
        messages.push(message);
        isUntimed ||= !isTimed;
      }
    } catch (error) {
      if (!isMillraceError(error)) throw error;
      // What is wrong is the line, not the request.
      const code = error.code === "REQUEST_MALFORMED" ? "REQUEST_INVALID" : error.code;
      throw new MillraceError(code, `line ${number}: ${error.detail}`, { cause: error });
    }
    number += 1;
  }
  return { messages, lines: number - firstLine, isUntimed };
}

function* linesOf(bytes: Uint8Array): Generator<Uint8Array> {
  for (let from = 0; from < bytes.length;) {
    const end = bytes.indexOf(newline, from);
    const to = end === -1 ? bytes.length : end;
    yield bytes.subarray(from, to);
    from = to + 1;
  }
}

const newline = 0x0a;
const spaces: ReadonlySet<number> = new Set([0x20, 0x09, 0x0d]);

function isBlank(line: Uint8Array): boolean {
  return line.every((byte) => spaces.has(byte));
}

function readMessageLine(
  bytes: Uint8Array,
  { now, allowsV8 }: LineOptions,
): { readonly message: NewMessage; readonly isTimed: boolean } {
  const input = parseJsonBody(bytes, "it");
  const parsed = messageLine.safeParse(input);
  if (!parsed.success) {
    const words = fieldProblems(parsed.error, input).map((problem) => problem.words.replace(/^body: /, ""));
    throw new MillraceError("REQUEST_INVALID", words.join("; "));
  }
  const line = parsed.data;
  if (line.content_type === "v8" && !allowsV8) {
    throw new MillraceError("FORBIDDEN", "content_type: v8 is imported for administrators only");
  }
  const body = bodyOf(line, input as object);
  if (body.byteLength > limits.message.bytes) {
    throw new MillraceError(
      "MESSAGE_TOO_LARGE",
      `Message length of ${body.byteLength} bytes exceeds the limit of ${limits.message.bytes}`,
    );
  }
  const message = {
    id: line.id as MessageId, // of that form: the schema says so
    sentAt: sentAtOf(line, now),
    contentType: line.content_type,
    body,
    visibleAt: visibleAtOf(line, now),
    source: line.source,
  };
  return { message, isTimed: line.timestamp_ms !== undefined };
}

function bodyOf(line: MessageLine, input: object): Uint8Array {
  const isGiven = "body" in input;
  if (isGiven === (line.body_base64 !== undefined)) {
    throw new MillraceError("REQUEST_INVALID", "expected one of body and body_base64");
  }
  if (line.body_base64 !== undefined) return Buffer.from(line.body_base64, "base64");
  switch (line.content_type) {
    case "json":
      return Buffer.from(JSON.stringify(line.body));
    case "text":
      if (typeof line.body === "string" && line.body.isWellFormed()) return Buffer.from(line.body);
      throw new MillraceError(
        "REQUEST_INVALID",
        "body: expected a string of well-formed Unicode, for its type is text",
      );
    case "bytes":
    case "v8":
      throw new MillraceError("REQUEST_INVALID", `expected body_base64, for the content type is ${line.content_type}`);
  }
}

/** A message from the future would be looked for in the wrong place when it is imported again. */
function sentAtOf({ timestamp_ms }: MessageLine, now: EpochMs): EpochMs {
  const sentAt = timestamp_ms ?? now;
  if (sentAt <= after(now, clockSlack)) return epochMs(sentAt);
  throw new MillraceError("REQUEST_INVALID", `timestamp_ms: expected a time that has come, got ${sentAt}`);
}

/** A delay that has passed is none. No delay is longer than a day, whatever another server's clock says. */
function visibleAtOf({ state, until_ms: until }: MessageLine, now: EpochMs): EpochMs | undefined {
  if (state !== "delayed" || until === undefined || until <= now) return undefined;
  return epochMs(Math.min(until, after(now, longestDelay)));
}
