// Event subscriptions over REST. Source: rest-api.md section 6.

import { z } from "zod";
import { flag, identifier, jsonObject, text, timestamp } from "./fields.ts";

const name = text.min(1, { error: "expected 1 to 200 characters" }).max(200, { error: "expected 1 to 200 characters" });
const events = z
  .array(text, { error: "expected an array of event names" })
  .min(1, { error: "expected at least one event" })
  .max(100, { error: "expected at most 100 events" });
const destination = z.object(
  { type: z.literal("queues.queue", { error: 'expected "queues.queue"' }), queue_id: text },
  { error: "expected an object with type and queue_id" },
);

export const createSubscriptionBody = z.object(
  { name, enabled: flag.optional(), events, source: jsonObject, destination },
  { error: "expected an object" },
);

export const patchSubscriptionBody = z.object(
  { name: name.optional(), enabled: flag.optional(), events: events.optional(), destination: destination.optional() },
  { error: "expected an object" },
);

export const subscriptionView = z.object({
  id: identifier,
  created_at: timestamp,
  modified_at: timestamp,
  name: z.string(),
  enabled: z.boolean(),
  events: z.array(z.string()),
  source: jsonObject,
  destination: z.object({ type: z.literal("queues.queue"), queue_id: z.string() }),
});
