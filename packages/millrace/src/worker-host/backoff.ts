// How long to wait before a process is started again.

/** So many deaths in a row are each followed by an immediate restart. */
const immediateRestarts = 3;

/**
 * The first failures in a row are followed by an immediate restart, so that a batch that was lost is delivered again within a
 * second also when it takes its process along more than once; from then on the delay doubles. A process that brings batches to a
 * good end, or lives long enough, begins a new row.
 */
export function restartDelay(failuresInARow: number, firstMs: number, longestMs: number): number {
  if (failuresInARow <= immediateRestarts) return 0;
  return Math.min(longestMs, firstMs * 2 ** Math.min(failuresInARow - immediateRestarts - 1, 30));
}

/** The row after a start that failed: what does not even start is tried once more at once, and then the delay grows. */
export function afterFailedStart(failuresInARow: number): number {
  return Math.max(failuresInARow + 1, immediateRestarts);
}
