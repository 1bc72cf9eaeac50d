// Backups of the whole server: begin one, see how far it is, fetch the file, delete it. An extension.

import { z } from "zod";
import type { BackupStatus } from "../broker/index.ts";
import { backupView } from "../contract/rest/index.ts";
import type { BackupView } from "../contract/rest/index.ts";
import type { ApiDependencies } from "./dependencies.ts";
import { requireWholeAccount } from "./principal.ts";
import { isoTime } from "./queue-view.ts";
import { defineRoute } from "./route.ts";
import type { Route } from "./route.ts";

const tag = "Millrace";

export function backupRoutes({ backups }: ApiDependencies): Route[] {
  return [
    defineRoute({
      id: "startBackup",
      method: "POST",
      path: "/millrace/backup",
      tag,
      summary:
        "Begin a backup of everything the server holds; it is kept until ten minutes after somebody last asked for it",
      needs: "admin",
      result: backupView,
      handle: async ({ principal }) => {
        requireWholeAccount(principal);
        return { result: showBackup(await backups.start(principal.name)) };
      },
    }),
    defineRoute({
      id: "getBackup",
      method: "GET",
      path: "/millrace/backup/{backup_id}",
      tag,
      summary: "How far a backup is",
      needs: "admin",
      result: backupView,
      handle: ({ params, principal }) => {
        requireWholeAccount(principal);
        return { result: showBackup(backups.status(params["backup_id"] ?? "")) };
      },
    }),
    defineRoute({
      id: "readBackup",
      method: "GET",
      path: "/millrace/backup/{backup_id}/file",
      tag,
      summary: "The file of a backup that is ready, for `millrace restore`",
      needs: "admin",
      download: "an SQLite database",
      result: z.null(),
      handle: async ({ params, principal }) => {
        requireWholeAccount(principal);
        return { result: null, file: await backups.read(params["backup_id"] ?? "") };
      },
    }),
    defineRoute({
      id: "deleteBackup",
      method: "DELETE",
      path: "/millrace/backup/{backup_id}",
      tag,
      summary: "Delete the server's file of a backup, or give up one that is being made",
      needs: "admin",
      result: z.null(),
      handle: async ({ params, principal }) => {
        requireWholeAccount(principal);
        await backups.discard(params["backup_id"] ?? "");
        return { result: null };
      },
    }),
  ];
}

function showBackup({ id, startedAt, state, copiedBytes, totalBytes, error }: BackupStatus): BackupView {
  return {
    backup_id: id,
    started_on: isoTime(startedAt),
    state,
    copied_bytes: copiedBytes,
    total_bytes: totalBytes,
    ...(error !== undefined && { error }),
  };
}
