// The audit log over REST: who changed what, and when. An extension.

import { z } from "zod";
import { anyJson, timestamp } from "./fields.ts";

export const auditEntryView = z.object({
  number: z.int(),
  when: timestamp,
  /** For example `CreateQueue`. */
  action: z.string(),
  /** A token's name, or `server`. */
  actor: z.string(),
  resource: z.string(),
  details: anyJson,
});
