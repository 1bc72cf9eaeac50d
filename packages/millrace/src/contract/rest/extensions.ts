// What Millrace has beyond Cloudflare, over REST: why nothing is moving, intake limits, how Workers are doing.

import { z } from "zod";
import { limits } from "../limits.ts";
import { text, timestamp, wholeNumber } from "./fields.ts";

export const explanationView = z.object({
  queue_name: z.string(),
  /** The weightiest first; never empty. */
  findings: z.array(z.object({ code: z.string(), text: z.string(), remedy: z.string().optional() })),
});

export const intakeLimitsBody = z.object(
  {
    backlog_limit_bytes: wholeNumber(limits.queue.backlogLimit).optional(),
    /** `null`: as many as come. */
    messages_per_second: wholeNumber(limits.queue.throughputLimit).nullable().optional(),
  },
  { error: "expected an object" },
);

export const intakeLimitsView = z.object({ backlog_limit_bytes: z.int(), messages_per_second: z.int().nullable() });

/** Messages that one request may move; whoever wants more asks again. */
export const redriveCount = { min: 1, max: 10_000, default: 1_000, unit: "messages" } as const;

export const redriveBody = z
  .object(
    {
      /** A queue's name; absent: the one queue whose consumer has this one as dead letter queue. */
      target_queue: text.optional(),
      max: wholeNumber(redriveCount).optional(),
    },
    { error: "expected an object" },
  )
  .optional();

export const redriveResult = z.object({
  target_queue: z.string(),
  moved: z.int(),
  /** Messages still in the queue that was redriven: delayed, with a consumer, or beyond `max`. */
  backlog_count: z.int(),
});

export const hostedWorkerView = z.object({
  name: z.string(),
  state: z.enum(["starting", "ready", "restarting", "crashed", "stopped", "not-deployed"]),
  url: z.string().optional(),
  version_id: z.string().optional(),
  pid: z.int().optional(),
  ready_since: timestamp.optional(),
  /** Times its process died since it was deployed on this server. */
  restarts: z.int(),
  /** Batches and requests it has now. */
  in_flight: z.int(),
  last_error: z.string().optional(),
  /** Its own port, which its process listens on itself; absent: it has none. */
  listen: z
    .object({
      host: z.string(),
      port: z.int(),
      url: z.string(),
      /** Connections are taken: at once, or as soon as a process of the Worker runs. */
      open: z.boolean(),
      /** Why it is not open; the server tries again. */
      problem: z.string().optional(),
    })
    .optional(),
});

/** Ports that a Worker can be given; 0: any free one, which it keeps. */
export const listenPort = { min: 0, max: 65_535, unit: "ports" } as const;

export const listenBody = z.object(
  {
    port: wholeNumber({ ...listenPort, default: 0 }),
    /** An IP address or host name of this machine; absent: 127.0.0.1. */
    host: text
      .regex(/^(?:[\d.]+|[\da-fA-F:]*:[\da-fA-F:.]*|[A-Za-z0-9][A-Za-z0-9.-]*)$/, {
        error: "expected an IP address or a host name",
      })
      .max(253, { error: "expected at most 253 characters" })
      .optional(),
  },
  { error: "expected an object with port" },
);
