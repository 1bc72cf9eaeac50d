// How a message is stored and travels between the threads: a fixed header, the source, the body. Numbers are little-endian.
//
//   0 u8  version
//   1 u8  content type, the place in `contentTypes`
//   2 u48 sent at, ms
//   8 u48 stored at, ms: arrival in this queue, which retention counts from
//  14     id, 16 bytes
//  30 u32 length of the body
//  34 u8  length of the source; 255: none
//  35 u32 checksum of source and body
//  39 u32 checksum of the header up to here, of the position in the log and of the queue's number
//  43     source, then body
//
// Version 1, of format 1, had no checksums: source and body begin at 35. The versions differ in more than one bit, so that a
// flipped one makes neither of the other.

import { crc32 } from "node:zlib";
import { contentTypes, epochMs, MillraceError } from "../../core/index.ts";
import type { EpochMs, LeasedMessage, MessageId, NewMessage } from "../../core/index.ts";

export const headerBytes = 43;
export const version = 0xa2;
const unchecked = { version: 1, headerBytes: 35 } as const;
/** What the first byte of a record may be. */
export const recordVersions: readonly number[] = [version, unchecked.version];
const noSource = 255;
const storedAtOffset = 8;
export const idOffset = 14;
const bodyLengthOffset = 30;
const sourceLengthOffset = 34;
const contentSumOffset = 35;
const headerSumOffset = 39;

const decoder = new TextDecoder();

/** Where in the log a record stands: its checksum fits nowhere else. */
export interface Place {
  readonly position: number;
  /** The queue's number. */
  readonly queue: number;
}

/** Bytes the record of a message takes. Throws a RangeError when its source is too long. */
export function recordLength(message: NewMessage): number {
  return headerBytes + sourceLength(message.source) + message.body.length;
}

/** Writes the record at an offset, all but its checksums; answers where it ends. */
export function writeRecord(target: Buffer, offset: number, message: NewMessage, storedAt: EpochMs): number {
  const { source, body } = message;
  target[offset] = version;
  target[offset + 1] = contentTypes.indexOf(message.contentType);
  target.writeUIntLE(message.sentAt, offset + 2, 6);
  target.writeUIntLE(storedAt, offset + storedAtOffset, 6);
  if (target.write(message.id, offset + idOffset, 16, "hex") !== 16)
    throw new RangeError(`${message.id} is not a message id`);
  target.writeUInt32LE(body.length, offset + bodyLengthOffset);
  target[offset + sourceLengthOffset] = source === undefined ? noSource : sourceLength(source);
  let end = offset + headerBytes;
  if (source !== undefined) end += target.write(source, end);
  target.set(body, end);
  return end + body.length;
}

/** Writes the checksums into the record from `start` to `end`, which is about to be stored there. */
export function seal(bytes: Uint8Array, start: number, end: number, place: Place): void {
  writeU32(bytes, start + contentSumOffset, crc32(bytes.subarray(start + headerBytes, end)));
  writeU32(bytes, start + headerSumOffset, headerSum(bytes, start, place));
}

/** Whether the header, of which `headerBytes` are enough, is what was stored there. */
export function isHeaderWhole(record: unknown, place: Place): record is Uint8Array {
  if (!(record instanceof Uint8Array)) return false; // a flipped bit has made something else of it
  if (record[0] === unchecked.version) return record.length >= unchecked.headerBytes;
  return (
    record[0] === version &&
    record.length >= headerBytes &&
    readU32(record, headerSumOffset) === headerSum(record, 0, place)
  );
}

/** Whether the record is what was stored there. Of version 1 only the lengths can be looked at. */
export function isWhole(record: unknown, place: Place): record is Uint8Array {
  if (!isHeaderWhole(record, place)) return false;
  const start = contentStart(record);
  const source = record[sourceLengthOffset] ?? noSource;
  if (record.length !== start + (source === noSource ? 0 : source) + bodyLength(record)) return false;
  return start !== headerBytes || readU32(record, contentSumOffset) === crc32(record.subarray(start));
}

/** A stored message as readers see it; the body is a view into the record, which must be whole. */
export function readRecord(
  record: Buffer,
): Pick<LeasedMessage, "id" | "sentAt" | "contentType" | "body" | "source"> & { readonly storedAt: EpochMs } {
  const contentType = contentTypes[record[1] ?? -1];
  if (contentType === undefined || (record[0] !== version && record[0] !== unchecked.version)) {
    throw new MillraceError("DATA_DAMAGED", "A stored message has no valid header");
  }
  const length = record[sourceLengthOffset] ?? noSource;
  const start = contentStart(record);
  const bodyStart = start + (length === noSource ? 0 : length);
  return {
    ...readHeader(record),
    contentType,
    source: length === noSource ? undefined : decoder.decode(record.subarray(start, bodyStart)),
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

/** Bytes of the body, which is what a queue's backlog counts, of the record that begins at `start`. */
export function bodyLength(bytes: Uint8Array, start = 0): number {
  return readU32(bytes, start + bodyLengthOffset);
}

/** Bytes of a record with checksums, by its header, which begins at `start`. */
export function recordLengthAt(bytes: Uint8Array, start: number): number {
  const source = bytes[start + sourceLengthOffset] ?? noSource;
  return headerBytes + (source === noSource ? 0 : source) + bodyLength(bytes, start);
}

/** A copy of the record that came into another queue at `storedAt`; to be sealed. */
export function restamped(record: Uint8Array, storedAt: EpochMs): Buffer {
  const content = record.subarray(contentStart(record));
  const copy = Buffer.alloc(headerBytes + content.length);
  copy.set(record.subarray(0, unchecked.headerBytes));
  copy.set(content, headerBytes);
  copy[0] = version;
  copy.writeUIntLE(storedAt, storedAtOffset, 6);
  return copy;
}

function contentStart(record: Uint8Array): number {
  return record[0] === unchecked.version ? unchecked.headerBytes : headerBytes;
}

/** FNV-1a: each step can be undone, so no single wrong byte goes unnoticed; for so few bytes faster than a call of `crc32`. */
function headerSum(bytes: Uint8Array, start: number, { position, queue }: Place): number {
  let sum = Math.imul(0x811c_9dc5 ^ (position >>> 0), 0x0100_0193);
  sum = Math.imul(sum ^ Math.floor(position / 2 ** 32), 0x0100_0193);
  sum = Math.imul(sum ^ (queue >>> 0), 0x0100_0193);
  const end = start + headerSumOffset;
  for (let at = start; at < end; at += 1) sum = Math.imul(sum ^ (bytes[at] ?? 0), 0x0100_0193);
  return sum >>> 0;
}

function readU32(bytes: Uint8Array, at: number): number {
  const [a = 0, b = 0, c = 0, d = 0] = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
  return a + b * 2 ** 8 + c * 2 ** 16 + d * 2 ** 24;
}

function writeU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value & 255;
  bytes[at + 1] = (value >>> 8) & 255;
  bytes[at + 2] = (value >>> 16) & 255;
  bytes[at + 3] = value >>> 24;
}

function sourceLength(source: string | undefined): number {
  if (source === undefined) return 0;
  const length = Buffer.byteLength(source);
  if (length >= noSource) throw new RangeError("a message's source takes at most 254 bytes");
  return length;
}
