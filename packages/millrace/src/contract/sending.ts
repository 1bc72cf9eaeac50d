// What may be sent: the checks a producer meets, whichever way it sends. Pure; every check is made before anything is stored.

import { contentTypes, deliveryDelay, MillraceError, seconds, visibleAfter } from "../core/index.ts";
import type { ContentType, EpochMs, MessageId, Milliseconds, NewMessage } from "../core/index.ts";
import { limits } from "./limits.ts";

/** One message as a producer gave it, already decoded from the wire. */
export interface SendItem {
  /** Any text can arrive; checked here. */
  readonly contentType: string;
  readonly body: Uint8Array;
  /** Whole seconds as given; `undefined` when absent. */
  readonly delaySeconds: number | undefined;
  /** Chosen by the producer, so that a send repeated after a lost answer is recognised; `undefined`: one is made. */
  readonly messageId?: MessageId | undefined;
}

export interface SendOptions {
  /** Delay of the batch, for items without their own. */
  readonly batchDelaySeconds: number | undefined;
  /** The queue's default delay, in seconds. */
  readonly queueDelaySeconds: number;
  readonly source?: string | undefined;
  /** When the producer sent it first, where that is not now. */
  readonly sentAt?: EpochMs | undefined;
}

function parseDelay(
  value: number | undefined,
  code: "DELAY_INVALID" | "BATCH_DELAY_INVALID",
): Milliseconds | undefined {
  if (value === undefined) return undefined;
  const { min, max } = limits.message.delay;
  if (Number.isInteger(value) && value >= min && value <= max) return seconds(value);
  const what = code === "DELAY_INVALID" ? "Message delay" : "Batch delay";
  throw new MillraceError(code, `${what} of ${value} seconds is outside ${min} to ${max}`);
}

function parseContentType(text: string): ContentType {
  const found = contentTypes.find((type) => type === text);
  if (found !== undefined) return found;
  const shown = JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text);
  throw new MillraceError(
    "CONTENT_TYPE_INVALID",
    `Message content type ${shown} is not one of text, json, bytes or v8`,
  );
}

/**
 * Checks a send of one or more messages and makes them storable. All or nothing: the first broken rule throws
 * (`BATCH_COUNT_INVALID`, `BATCH_DELAY_INVALID`, `MESSAGE_TOO_LARGE`, `BATCH_TOO_LARGE`, `CONTENT_TYPE_INVALID`,
 * `DELAY_INVALID`, and `REQUEST_INVALID` when two messages have the same id). `makeId` is called for each message without one.
 */
export function prepareSend(
  items: readonly SendItem[],
  options: SendOptions,
  now: EpochMs,
  makeId: () => MessageId,
): readonly NewMessage[] {
  const { count, bytes: batchBytes } = limits.batchSend;
  if (items.length < count.min || items.length > count.max) {
    throw new MillraceError(
      "BATCH_COUNT_INVALID",
      `Batch message count of ${items.length} is outside ${count.min} to ${count.max}`,
    );
  }
  const batchDelay = parseDelay(options.batchDelaySeconds, "BATCH_DELAY_INVALID");
  const queueDelay = seconds(options.queueDelaySeconds);
  let total = 0;
  for (const { body } of items) {
    if (body.byteLength > limits.message.bytes) {
      throw new MillraceError(
        "MESSAGE_TOO_LARGE",
        `Message length of ${body.byteLength} bytes exceeds the limit of ${limits.message.bytes}`,
      );
    }
    total += body.byteLength;
  }
  if (items.length > 1 && total > batchBytes) {
    throw new MillraceError("BATCH_TOO_LARGE", `Batch size of ${total} bytes exceeds the limit of ${batchBytes}`);
  }
  refuseSameIds(items);
  const { sentAt = now } = options;
  return items.map((item) => ({
    id: item.messageId ?? makeId(),
    sentAt,
    contentType: parseContentType(item.contentType),
    body: item.body,
    visibleAt: visibleAfter(now, deliveryDelay(parseDelay(item.delaySeconds, "DELAY_INVALID"), batchDelay, queueDelay)),
    source: options.source,
  }));
}

/** Of two messages with one id one would be taken for the other, and be lost. */
function refuseSameIds(items: readonly SendItem[]): void {
  const places = new Map<MessageId, number>();
  for (const [place, { messageId }] of items.entries()) {
    if (messageId === undefined) continue;
    const other = places.get(messageId);
    if (other !== undefined) {
      throw new MillraceError(
        "REQUEST_INVALID",
        `messages[${place}].millrace_message_id: expected an id of its own, got that of messages[${other}]`,
      );
    }
    places.set(messageId, place);
  }
}
