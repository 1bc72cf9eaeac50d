// Where every message of a queue went, and whether that adds up. An extension.

import { imbalanceOf, judgeConservation, MillraceError } from "../core/index.ts";
import type { CountedQueue, QueueRecord, Recount } from "../core/index.ts";
import { violationFields } from "../broker/index.ts";
import { accountingQuery, accountingView } from "../contract/rest/index.ts";
import type { AccountingView } from "../contract/rest/index.ts";
import type { ApiDependencies } from "./dependencies.ts";
import { existingQueueOf } from "./queue-parameter.ts";
import { defineRoute } from "./route.ts";
import type { Route } from "./route.ts";

export function accountingRoutes({ controlPlane, engine, logger }: ApiDependencies): Route[] {
  const recount = async (queue: QueueRecord, end: AbortSignal): Promise<Recount> => {
    const found = await engine.verify(queue.id, () => !end.aborted);
    if (found === undefined) throw new MillraceError("UNAVAILABLE", "The recount was given up: nobody waits for it");
    const discrepancies = judgeConservation(found);
    // Whoever reads the log is to know of it too, not only who asked.
    if (discrepancies.length > 0)
      logger.error("conservation.violated", violationFields(queue.name, found, discrepancies));
    return found;
  };
  return [
    defineRoute({
      id: "getQueueAccounting",
      method: "GET",
      path: "/millrace/queues/{queue_id}/accounting",
      tag: "Millrace",
      summary: "Where every message of a queue went, and whether it adds up; with deep=true every message is read",
      needs: "queues:read",
      query: accountingQuery,
      result: accountingView,
      handle: async ({ params, query, principal, goneOrStopping }) => {
        const queue = existingQueueOf(controlPlane.view, params, principal);
        const counted = query.deep === "true" ? await recount(queue, goneOrStopping()) : await engine.metrics(queue.id);
        return { result: showAccounting(queue, counted) };
      },
    }),
  ];
}

function showAccounting(queue: QueueRecord, counted: CountedQueue | Recount): AccountingView {
  const { backlog, accounting, held } = counted;
  const findings = judgeConservation(counted).map(({ code, text, remedy }) => ({ code, text, remedy }));
  return {
    queue_name: queue.name,
    accepted: accounting.accepted,
    backlog_count: backlog.count,
    backlog_bytes: backlog.bytes,
    held,
    acked: accounting.acked,
    dead_lettered: accounting.deadLettered,
    expired: accounting.expired,
    purged: accounting.purged,
    dropped: accounting.dropped,
    imbalance: imbalanceOf(counted),
    holds: findings.length === 0,
    findings,
    ...("stored" in counted && {
      recount: {
        stored_count: counted.stored.count,
        stored_bytes: counted.stored.bytes,
        stranded: counted.stranded,
        missing: counted.missing,
        doubled: counted.doubled,
        unreadable: counted.unreadable,
      },
    }),
  };
}
