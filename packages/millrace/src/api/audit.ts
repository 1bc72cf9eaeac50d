// The audit log: control-plane operations with who and when. An extension.

import { z } from "zod";
import { auditEntryView } from "../contract/rest/index.ts";
import type { ApiDependencies } from "./dependencies.ts";
import { isoTime } from "./queue-view.ts";
import { defineRoute } from "./route.ts";
import type { Route } from "./route.ts";

const count = (max: number) => {
  const error = `expected a whole number from 1 to ${max}`;
  return z
    .string({ error })
    .regex(/^[1-9]\d{0,14}$/, { error })
    .transform(Number)
    .refine((value) => value <= max, { error });
};

const auditQuery = z.object({ limit: count(1_000).optional(), before: count(Number.MAX_SAFE_INTEGER).optional() });

export function auditRoutes({ engine }: ApiDependencies): Route[] {
  return [
    defineRoute({
      id: "listAuditEntries",
      method: "GET",
      path: "/millrace/audit",
      tag: "Millrace",
      summary: "The audit log, newest first; continue with before=<number of the last entry>",
      needs: "admin",
      query: auditQuery,
      result: z.array(auditEntryView),
      handle: async ({ query }) => {
        const entries = await engine.catalog.readAudit({ limit: query.limit ?? 100, before: query.before });
        return {
          result: entries.map(({ number, at, action, actor, resource, details }) => {
            return { number, when: isoTime(at), action, actor, resource, details };
          }),
        };
      },
    }),
  ];
}
