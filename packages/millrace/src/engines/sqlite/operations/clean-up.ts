// Work off the commit path, in slices: deletes rows of the log that nobody needs, and empties dropped and purged queues.

import type { DeadRun } from "../dead-rows.ts";
import type { Ledger } from "../ledger.ts";
import type { QueueState } from "../queue-state.ts";
import { isDamage } from "../sql.ts";

/** Positions whose rows are deleted in one slice: a few milliseconds when each has a row of its own. */
export const slicePositions = 2_000;
/** Rows written anew in one slice. */
const sliceParts = 50;

/** Whether there is anything to clean up. */
export function needsCleanUp(ledger: Ledger): boolean {
  return ledger.dead.count > 0 || ledger.firstDoomed !== undefined || ledger.dead.parts > ledger.tuning.partsKept;
}

/** One slice, within a transaction. Losing it is harmless: what it did is done again. */
export function cleanUp(ledger: Ledger): void {
  const doomed = ledger.firstDoomed;
  if (doomed !== undefined && ledger.dead.count < slicePositions) empty(ledger, doomed);
  for (const { first, count } of ledger.dead.take(slicePositions)) {
    try {
      ledger.dead.putBack(ledger.tables.log.deleteRange(first, count));
    } catch (error) {
      if (!isDamage(error)) throw error;
      ledger.dead.keep({ first, count }); // nobody needs them; a start on damaged data leaves them behind
    }
  }
  if (ledger.dead.parts > ledger.tuning.partsKept) takeOutDead(ledger);
}

/** Few messages that stay must not hold many that are gone: their rows are written anew without them. */
function takeOutDead(ledger: Ledger): void {
  const { dead } = ledger;
  for (const first of dead.firstParts(sliceParts)) {
    if (!dead.has(first)) continue; // the row of one before had it too
    let rewritten: DeadRun | undefined;
    try {
      rewritten = ledger.tables.log.takeOut(first, (position) => dead.has(position));
    } catch (error) {
      if (!isDamage(error)) throw error;
    }
    const run = rewritten ?? { first, count: 1 };
    dead.forget(run);
    if (rewritten === undefined) dead.keep(run);
  }
}

/** Takes a slice of messages out of a doomed queue; its leases ended when it was doomed. */
function empty(ledger: Ledger, queue: QueueState): void {
  let left = slicePositions;
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
