// Work off the commit path, in slices: deletes rows of the log that nobody needs, and empties dropped and purged queues.

import type { DeadRun } from "../dead-rows.ts";
import type { Ledger } from "../ledger.ts";
import type { QueueState } from "../queue-state.ts";
import { isDamage } from "../sql.ts";

/** Positions whose rows are deleted in one slice: a few milliseconds when each has a row of its own. */
const slicePositions = 2_000;
/** And runs of them: to delete in a shared row one message costs as much as to delete ten rows. */
const sliceRuns = 100;
/** Rows written anew in one slice: as many as its runs can be parts of, so that parts never gather. */
const sliceRows = 2 * sliceRuns;

/** Whether there is anything to clean up. */
export function needsCleanUp(ledger: Ledger): boolean {
  return ledger.dead.count > 0 || ledger.firstDoomed !== undefined || ledger.dead.parts > ledger.tuning.partsKept;
}

/** Whether so much waits that it is deleted even though requests wait, too. */
export function isBehind({ dead }: Ledger): boolean {
  return dead.count >= 10 * slicePositions || dead.waiting >= 10 * sliceRuns;
}

/** One slice, within a transaction. Losing it is harmless: what it did is done again. */
export function cleanUp(ledger: Ledger): void {
  const doomed = ledger.firstDoomed;
  // Not while it is behind: what is emptied would be added to that, and whoever waits until it is not would wait for the whole queue.
  if (doomed !== undefined && ledger.dead.count < slicePositions && !isBehind(ledger)) empty(ledger, doomed);
  for (const { first, count } of ledger.dead.take(slicePositions, sliceRuns)) {
    try {
      ledger.dead.putBack(ledger.tables.log.deleteRange(first, count));
    } catch (error) {
      if (!isDamage(error)) throw error;
      ledger.dead.keep({ first, count }); // nobody needs them; a start on damaged data leaves them behind
    }
  }
  if (ledger.dead.parts > ledger.tuning.partsKept) takeOutDead(ledger);
}

/** Few messages that stay must not hold many that are gone: their rows are written anew without them, those at the front first. */
function takeOutDead({ dead, tables, tuning }: Ledger): void {
  let tooMany = dead.parts - tuning.partsKept;
  const gone: DeadRun[] = [];
  let end = 0;
  for (const first of dead.partStarts()) {
    if (first >= end) {
      if (tooMany <= 0 || gone.length === sliceRows) break;
      let row: DeadRun | undefined;
      try {
        row = tables.log.takeOut(first, (position) => dead.has(position));
      } catch (error) {
        if (!isDamage(error)) throw error;
      }
      const run = row ?? { first, count: 1 };
      gone.push(run);
      if (row === undefined) dead.keep(run);
      end = run.first + run.count;
    }
    tooMany -= 1;
  }
  dead.forget(gone);
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
