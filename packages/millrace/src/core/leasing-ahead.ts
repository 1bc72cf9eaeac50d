// How many batches a consumer leases at once, and how many of them before there is a place to deliver them.
//
// A handler that is done in a few milliseconds waits longer for the next batch's way from the store than it works. For such handlers
// the next batches are leased while these run. A slow handler gains nothing, and what it held back would wait behind it: it gets none.

import type { Backlog } from "./message.ts";
import type { Milliseconds } from "./time.ts";
import { milliseconds } from "./time.ts";

/** A handler that takes longer, on average, gets nothing ahead. */
const quickMs = 20;
/** Enough for what a Worker is done with while the store waits for the disk once. */
const leastBatches = 4;
const mostBatches = 32;
/**
 * So long the handlers shall be able to go on with what is there: a round trip to the store costs as much as several batches in it.
 * Half of it is left when the next are asked for, so the disk may take that half.
 */
const workMs = 20;
/** Beyond `leastBatches` no more than these: the batches of one round are read in one turn of the event loop. */
const mostMessages = 640;
const mostBytes = 4_000_000;
/** Weight of the newest delivery in the average. */
const newest = 0.25;

/** How long a batch may wait for a place before it is given back. */
export const aheadFor = milliseconds(100);

/** The average time a handler takes; `undefined` before the first delivery. */
export function averageTime(before: Milliseconds | undefined, taken: Milliseconds): Milliseconds {
  return before === undefined ? taken : milliseconds(before + (taken - before) * newest);
}

/** How many batches may be held without a place; 0 when that would not help. `concurrency`: deliveries that run at once. */
export function mostAhead(facts: {
  readonly averageMs: Milliseconds | undefined;
  readonly concurrency: number;
  readonly batchSize: number;
  readonly backlog: Backlog;
}): number {
  const { averageMs, concurrency, batchSize, backlog } = facts;
  if (averageMs === undefined || averageMs > quickMs || backlog.count === 0) return 0;
  const batchBytes = (backlog.bytes / backlog.count) * batchSize;
  const forWork = Math.min(
    Math.ceil((concurrency * workMs) / Math.max(1, averageMs)),
    Math.floor(mostMessages / batchSize),
  );
  return Math.max(
    0,
    Math.min(
      mostBatches,
      Math.max(leastBatches, 2 * concurrency, forWork),
      Math.floor(mostBytes / Math.max(1, batchBytes)),
    ),
  );
}

/** How many batches to lease now that one is due; 0: none. */
export function batchesToLease(facts: {
  /** Deliveries that may begin now. */
  readonly places: number;
  /** Batches that wait for a place. */
  readonly ahead: number;
  readonly mostAhead: number;
  /** Messages ready to be leased, and how many make a full batch. */
  readonly ready: number;
  readonly batchSize: number;
}): number {
  const { places, ahead, mostAhead: most, ready, batchSize } = facts;
  const full = Math.floor(ready / batchSize);
  const forPlaces = Math.max(0, places - ahead);
  // Several at once, not one by one: a request to the store costs more than a batch in it.
  const spare = ahead - Math.min(places, ahead);
  const forLater = spare * 2 > most ? 0 : most - spare;
  // For a place, one that is due need not be full.
  return Math.max(Math.min(forPlaces, 1), Math.min(full, forPlaces + forLater));
}
