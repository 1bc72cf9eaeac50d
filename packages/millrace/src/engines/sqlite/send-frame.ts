// A send as it travels to the store thread: bytes in the message's buffer instead of an object, because cloning an object costs
// more than storing a message does (64 sends at a time: 2 µs each against 0.3).
//
//   u8  flags: 1 resend, 2 delayed, 4 any age
//   u8  length of the queue's id, then the id
//   f64 now
//   u32 number of messages
//   f64 first moment of delivery of each, 0 for at once; only when delayed
//   u32 length and record of each (see record.ts)

import { epochMs } from "../../core/index.ts";
import type { EpochMs, NewMessage, QueueId } from "../../core/index.ts";
import { recordLength, writeRecord } from "./record.ts";

interface SendFacts {
  readonly queue: QueueId;
  /** When it was asked, by the engine's clock. */
  readonly now: EpochMs;
  readonly resend: boolean;
  /** Of a resend: its messages may have been stored long before they say they were sent. */
  readonly anyAge: boolean;
}

export interface SendFrame extends SendFacts {
  readonly messages: readonly FramedMessage[];
}

interface SketchedSend extends SendFacts {
  readonly messages: readonly NewMessage[];
}

/** Where its record stands in the buffer that the frame came in. */
interface FramedMessage {
  readonly start: number;
  readonly end: number;
  /** First moment it may be delivered; 0: at once. */
  readonly visibleAt: EpochMs;
}

const fixedBytes = 1 + 1 + 8 + 4;
const resendFlag = 1;
const delayedFlag = 2;
const anyAgeFlag = 4;

/** Throws a RangeError when a message cannot be stored. */
export function sendFrameLength({ queue, messages }: SketchedSend): number {
  let length = fixedBytes + queue.length + (isDelayed(messages) ? 8 * messages.length : 0);
  for (const message of messages) length += 4 + recordLength(message);
  return length;
}

/** Throws a RangeError when a message cannot be stored. */
export function writeSendFrame(
  target: Buffer,
  offset: number,
  { queue, now, resend, anyAge, messages }: SketchedSend,
): undefined {
  const delayed = isDelayed(messages);
  target[offset] = (resend ? resendFlag : 0) + (delayed ? delayedFlag : 0) + (anyAge ? anyAgeFlag : 0);
  target[offset + 1] = queue.length;
  let at = offset + 2 + target.write(queue, offset + 2, "latin1");
  at = target.writeDoubleLE(now, at);
  at = target.writeUInt32LE(messages.length, at);
  if (delayed) for (const { visibleAt } of messages) at = target.writeDoubleLE(Math.ceil(visibleAt ?? 0), at);
  for (const message of messages) {
    const end = writeRecord(target, at + 4, message, now);
    target.writeUInt32LE(end - at - 4, at);
    at = end;
  }
}

/** Reads the frame at an offset. */
export function readSendFrame(source: Buffer, offset: number): { readonly frame: SendFrame; readonly end: number } {
  const flags = source.readUInt8(offset);
  const idEnd = offset + 2 + source.readUInt8(offset + 1);
  const queue = source.toString("latin1", offset + 2, idEnd) as QueueId;
  const now = epochMs(source.readDoubleLE(idEnd));
  const count = source.readUInt32LE(idEnd + 8);
  const delays = idEnd + 12;
  const delayed = (flags & delayedFlag) !== 0;
  let end = delayed ? delays + 8 * count : delays;
  const messages: FramedMessage[] = [];
  for (let index = 0; index < count; index += 1) {
    const start = end + 4;
    end = start + source.readUInt32LE(end);
    const visibleAt = epochMs(delayed ? source.readDoubleLE(delays + 8 * index) : 0);
    messages.push({ start, end, visibleAt });
  }
  const resend = (flags & resendFlag) !== 0;
  return { frame: { queue, now, resend, anyAge: (flags & anyAgeFlag) !== 0, messages }, end };
}

function isDelayed(messages: readonly NewMessage[]): boolean {
  return messages.some(({ visibleAt }) => visibleAt !== undefined);
}
