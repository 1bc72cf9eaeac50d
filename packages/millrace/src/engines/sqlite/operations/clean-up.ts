// Work off the commit path, in slices: deletes rows of the log that nobody needs, and empties dropped and purged queues.

import type { Ledger } from "../ledger.ts";
import type { QueueState } from "../queue-state.ts";
import { isDamage } from "../sql.ts";

/** Rows deleted in one slice: a few milliseconds. */
export const sliceRows = 2_000;

/** Whether there is anything to clean up. */
export function needsCleanUp(ledger: Ledger): boolean {
  return ledger.dead.count > 0 || ledger.firstDoomed !== undefined;
}

/** One slice, within a transaction. Losing it is harmless: what it did is done again. */
export function cleanUp(ledger: Ledger): void {
  const doomed = ledger.firstDoomed;
  if (doomed !== undefined && ledger.dead.count < sliceRows) empty(ledger, doomed);
  for (const { first, count } of ledger.dead.take(sliceRows)) {
    try {
      ledger.tables.log.deleteRange(first, count);
    } catch (error) {
      if (!isDamage(error)) throw error;
      ledger.dead.keep({ first, count }); // nobody needs them; a start on damaged data leaves them behind
    }
  }
}

/** Takes a slice of messages out of a doomed queue; its leases ended when it was doomed. */
function empty(ledger: Ledger, queue: QueueState): void {
  let left = sliceRows;
  while (left > 0) {
    const run = queue.fresh.take(left);
    if (run === undefined) break;
    ledger.addDead(run.first, run.count);
    left -= run.count;
  }
  for (const waiting of queue.later.behind(0, left)) {
    queue.later.remove(waiting);
    ledger.addDead(waiting.position);
  }
  ledger.change(queue);
  if (queue.fresh.count === 0 && queue.later.count === 0) ledger.bury(queue);
}
