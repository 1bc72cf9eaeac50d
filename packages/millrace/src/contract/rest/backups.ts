// Backups over REST. An extension.

import { z } from "zod";
import { timestamp } from "./fields.ts";

export const backupView = z.object({
  backup_id: z.string(),
  started_on: timestamp,
  state: z.enum(["copying", "ready", "failed"]),
  copied_bytes: z.int(),
  /** 0: not known yet. */
  total_bytes: z.int(),
  error: z.string().optional(),
});

export type BackupView = z.infer<typeof backupView>;
