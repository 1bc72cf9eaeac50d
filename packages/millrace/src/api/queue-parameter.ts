// The queue that a path names.

import { MillraceError } from "../core/index.ts";
import type { CatalogView, QueueRecord } from "../core/index.ts";
import { requireQueue } from "./principal.ts";
import type { Principal } from "./principal.ts";

/** Throws `QUEUE_ID_MALFORMED`, `QUEUE_NOT_FOUND`, and `FORBIDDEN` when the token is not for this queue. */
export function existingQueueOf(
  view: CatalogView,
  params: Readonly<Record<string, string>>,
  principal: Principal,
): QueueRecord {
  const id = params["queue_id"] ?? "";
  const queue = view.get("queue", id.toLowerCase());
  if (queue === undefined) {
    // A stranger to every queue learns nothing about which exist.
    if (!/^[0-9a-z]+$/i.test(id))
      throw new MillraceError("QUEUE_ID_MALFORMED", `Queue id ${JSON.stringify(id.slice(0, 60))} is not valid`);
    throw new MillraceError("QUEUE_NOT_FOUND", `Queue ${id.slice(0, 60)} does not exist`);
  }
  requireQueue(principal, queue);
  return queue;
}
