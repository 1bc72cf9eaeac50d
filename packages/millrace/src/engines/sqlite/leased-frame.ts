// A leased batch as it travels back: numbers and records in the answer's buffer instead of an object a message.
//
//   f64 position, f64 attempts, f64 length of the record: of each message
//       then the records (see record.ts)

import type { LeasedMessage } from "../../core/index.ts";
import type { AnswerBytes } from "./answer-bytes.ts";
import { leaseId } from "./lease-id.ts";
import type { LeasedFrame } from "./protocol.ts";
import { readRecord } from "./record.ts";

const numbersPerMessage = 3;

/** `position` and `attempts` of the i-th message belong to the i-th record. */
export function addLeasedFrame(
  bytes: AnswerBytes,
  batch: number,
  messages: readonly { readonly position: number; readonly attempts: number }[],
  records: readonly Uint8Array[],
): LeasedFrame {
  const numbers = new Float64Array(messages.length * numbersPerMessage);
  let at = 0;
  for (const [index, { position, attempts }] of messages.entries()) {
    numbers[at] = position;
    numbers[at + 1] = attempts;
    numbers[at + 2] = records[index]?.length ?? 0;
    at += numbersPerMessage;
  }
  const { from } = bytes.add(new Uint8Array(numbers.buffer));
  for (const record of records) bytes.add(record);
  return { batch, count: messages.length, from };
}

/** The messages; their bodies are views into the buffer. */
export function readLeasedFrame(bytes: Buffer, { batch, count, from }: LeasedFrame): LeasedMessage[] {
  const messages: LeasedMessage[] = [];
  let start = from + count * numbersPerMessage * 8;
  for (let index = 0; index < count; index += 1) {
    const numbers = from + index * numbersPerMessage * 8;
    const end = start + bytes.readDoubleLE(numbers + 16);
    const { id, sentAt, contentType, body, source } = readRecord(bytes.subarray(start, end));
    const lease = leaseId(batch, bytes.readDoubleLE(numbers));
    messages.push({ lease, id, sentAt, contentType, body, source, attempts: bytes.readDoubleLE(numbers + 8) });
    start = end;
  }
  return messages;
}
