// A stored message as the REST API shows it. Source: queues-contract.md sections 2.2 and 10.

import { Buffer } from "node:buffer";
import type { z } from "zod";
import type { ContentType, PeekedMessage } from "../core/index.ts";
import type { PulledMessage } from "../broker/index.ts";
import type { peekResult, pullResult } from "../contract/rest/index.ts";

export function showPulled(message: PulledMessage): z.input<typeof pullResult>["messages"][number] {
  return { ...showMessage(message), lease_id: message.lease };
}

export function showPeeked(message: PeekedMessage): z.input<typeof peekResult>["messages"][number] {
  const { ref, state, until } = message;
  return { ...showMessage(message), ref, state, ...(until !== undefined && { until_ms: until }) };
}

interface Shown {
  readonly id: string;
  readonly sentAt: number;
  readonly contentType: ContentType;
  readonly body: Uint8Array;
  readonly source?: string | undefined;
  readonly attempts: number;
}

function showMessage(message: Shown): {
  id: string;
  body: string;
  attempts: number;
  timestamp_ms: number;
  metadata: Record<string, string>;
} {
  const { body } = message;
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  return {
    id: message.id,
    // Text as it is; json, bytes and v8 in base64, though documented samples show json bare: the rule is stated, they are not.
    body: bytes.toString(message.contentType === "text" ? "utf8" : "base64"),
    attempts: message.attempts,
    timestamp_ms: message.sentAt,
    metadata: {
      "CF-Content-Type": message.contentType,
      ...(message.source !== undefined && { "CF-sourceMessageSource": message.source }),
    },
  };
}
