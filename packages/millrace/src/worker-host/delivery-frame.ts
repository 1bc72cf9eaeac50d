// One batch as bytes for the dispatcher: u32 length of the header (big endian), header (JSON), then the bodies as they are stored.
// The reader is dispatcher/dispatcher.js.

import type { Delivery } from "../broker/index.ts";

/** The runtime counts deliveries in 16 bits. Source: runtime-protocol.md section 3. */
const mostAttempts = 65_535;

const encoder = new TextEncoder();

export function encodeDelivery({ queue, messages, backlog }: Delivery): Uint8Array {
  const header = encoder.encode(
    JSON.stringify({
      queue,
      metrics: {
        backlogCount: backlog.count,
        backlogBytes: backlog.bytes,
        // 0 means none.
        oldestMessageTimestamp: backlog.oldestSentAt ?? 0,
      },
      messages: messages.map(({ id, sentAt, attempts, contentType, body }) => ({
        id,
        timestamp: sentAt,
        attempts: Math.min(attempts, mostAttempts),
        type: contentType,
        bytes: body.byteLength,
      })),
    }),
  );
  let length = 4 + header.byteLength;
  for (const { body } of messages) length += body.byteLength;
  const frame = new Uint8Array(length);
  new DataView(frame.buffer).setUint32(0, header.byteLength);
  frame.set(header, 4);
  let offset = 4 + header.byteLength;
  for (const { body } of messages) {
    frame.set(body, offset);
    offset += body.byteLength;
  }
  return frame;
}
