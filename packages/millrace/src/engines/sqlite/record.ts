// How a message is stored and travels between the threads: a fixed header, the source, the body. Numbers are little-endian.
//
//   0 u8  version, 1
//   1 u8  content type, the place in `contentTypes`
//   2 u48 sent at, ms
//   8 u48 stored at, ms: arrival in this queue, which retention counts from
//  14     id, 16 bytes
//  30 u32 length of the body
//  34 u8  length of the source; 255: none
//  35     source, then body

import { contentTypes, epochMs, MillraceError } from "../../core/index.ts";
import type { EpochMs, LeasedMessage, MessageId, NewMessage } from "../../core/index.ts";

export const headerBytes = 35;
const version = 1;
const noSource = 255;
const storedAtOffset = 8;
export const idOffset = 14;
const bodyLengthOffset = 30;

const decoder = new TextDecoder();

/** Bytes the record of a message takes. Throws a RangeError when its source is too long. */
export function recordLength(message: NewMessage): number {
  return headerBytes + sourceLength(message.source) + message.body.length;
}

/** Writes the record at an offset; answers where it ends. */
export function writeRecord(target: Buffer, offset: number, message: NewMessage, storedAt: EpochMs): number {
  const { source, body } = message;
  target[offset] = version;
  target[offset + 1] = contentTypes.indexOf(message.contentType);
  target.writeUIntLE(message.sentAt, offset + 2, 6);
  target.writeUIntLE(storedAt, offset + storedAtOffset, 6);
  if (target.write(message.id, offset + idOffset, 16, "hex") !== 16)
    throw new RangeError(`${message.id} is not a message id`);
  target.writeUInt32LE(body.length, offset + bodyLengthOffset);
  target[offset + 34] = source === undefined ? noSource : sourceLength(source);
  let end = offset + headerBytes;
  if (source !== undefined) end += target.write(source, end);
  target.set(body, end);
  return end + body.length;
}

/** A stored message as readers see it; the body is a view into the record. */
export function readRecord(
  record: Buffer,
): Pick<LeasedMessage, "id" | "sentAt" | "contentType" | "body" | "source"> & { readonly storedAt: EpochMs } {
  const contentType = contentTypes[record[1] ?? -1];
  if (record.length < headerBytes || record[0] !== version || contentType === undefined) {
    throw new MillraceError("DATA_DAMAGED", "A stored message has no valid header");
  }
  const length = record[34] ?? noSource;
  const bodyStart = headerBytes + (length === noSource ? 0 : length);
  return {
    ...readHeader(record),
    contentType,
    source: length === noSource ? undefined : decoder.decode(record.subarray(headerBytes, bodyStart)),
    body: new Uint8Array(record.buffer, record.byteOffset + bodyStart, record.length - bodyStart),
  };
}

/** The header's facts; of the record only the first `headerBytes` are needed. */
export function readHeader(record: Buffer): {
  readonly id: MessageId;
  readonly sentAt: EpochMs;
  readonly storedAt: EpochMs;
} {
  return {
    id: record.toString("hex", idOffset, idOffset + 16) as MessageId,
    sentAt: epochMs(record.readUIntLE(2, 6)),
    storedAt: epochMs(record.readUIntLE(storedAtOffset, 6)),
  };
}

/** Bytes of the body, which is what a queue's backlog counts. */
export function bodyLength(record: Uint8Array): number {
  const [a = 0, b = 0, c = 0, d = 0] = [record[30], record[31], record[32], record[33]];
  return a + b * 2 ** 8 + c * 2 ** 16 + d * 2 ** 24;
}

/** A copy of the record that came into another queue at `storedAt`. */
export function restamped(record: Uint8Array, storedAt: EpochMs): Uint8Array {
  const copy = Buffer.from(record);
  copy.writeUIntLE(storedAt, storedAtOffset, 6);
  return copy;
}

function sourceLength(source: string | undefined): number {
  if (source === undefined) return 0;
  const length = Buffer.byteLength(source);
  if (length >= noSource) throw new RangeError("a message's source takes at most 254 bytes");
  return length;
}
