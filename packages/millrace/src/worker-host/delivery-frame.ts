// One batch as bytes for the dispatcher: u32 length of the header (big endian), header (JSON), then the bodies as they are stored.
// The reader is dispatcher/dispatcher.js.

import type { Delivery } from "../broker/index.ts";

/** The runtime counts deliveries in 16 bits. Source: runtime-protocol.md section 3. */
const mostAttempts = 65_535;

/**
 * The frame, after what `headOf` says of its length, in one buffer. `number`: that the dispatcher gives a receipt for.
 * The header is put together by hand, which ids and content types allow: both are words without anything to escape.
 */
export function encodeDelivery(
  { queue, messages, backlog }: Delivery,
  number: number,
  headOf: (bytes: number) => string,
): Buffer {
  const { count, bytes, oldestSentAt } = backlog;
  // 0 means none.
  const metrics = `{"backlogCount":${count},"backlogBytes":${bytes},"oldestMessageTimestamp":${oldestSentAt ?? 0}}`;
  let listed = "";
  let length = 4;
  for (const { id, sentAt, attempts, contentType, body } of messages) {
    const comma = listed === "" ? "" : ",";
    listed += `${comma}{"id":"${id}","timestamp":${sentAt},"attempts":${Math.min(attempts, mostAttempts)},"type":"${contentType}","bytes":${body.byteLength}}`;
    length += body.byteLength;
  }
  // ASCII: a byte for each character.
  const header = `{"number":${number},"queue":${JSON.stringify(queue)},"metrics":${metrics},"messages":[${listed}]}`;
  length += header.length;
  const head = headOf(length);
  const frame = Buffer.allocUnsafeSlow(head.length + length);
  let offset = frame.write(head, "latin1");
  offset = frame.writeUInt32BE(header.length, offset);
  offset += frame.write(header, offset, "latin1");
  for (const { body } of messages) {
    frame.set(body, offset);
    offset += body.byteLength;
  }
  return frame;
}
