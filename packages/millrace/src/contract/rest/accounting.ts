// Where every message of a queue went, over REST. An extension.

import { z } from "zod";

export const accountingQuery = z.object({
  /** Whether to read every message instead of trusting counters. */
  deep: z.enum(["true", "false"], { error: "expected true or false" }).optional(),
});

export const accountingView = z.object({
  queue_name: z.string(),
  accepted: z.int(),
  backlog_count: z.int(),
  backlog_bytes: z.int(),
  /** Messages that are ready, delayed or leased: another count than the backlog, which it must equal. */
  held: z.int(),
  acked: z.int(),
  dead_lettered: z.int(),
  expired: z.int(),
  purged: z.int(),
  dropped: z.int(),
  /** `accepted` less everything else; 0 when nothing is lost. */
  imbalance: z.int(),
  holds: z.boolean(),
  /** What is wrong, the weightiest first; empty when it holds. */
  findings: z.array(z.object({ code: z.string(), text: z.string(), remedy: z.string() })),
  /** Only with `deep=true`. */
  recount: z
    .object({
      stored_count: z.int(),
      stored_bytes: z.int(),
      stranded: z.int(),
      missing: z.int(),
      doubled: z.int(),
      unreadable: z.int(),
    })
    .optional(),
});

export type AccountingView = z.infer<typeof accountingView>;
