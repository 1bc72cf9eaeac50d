// How long to wait before a process is started again.

/**
 * The first failure in a row is followed by an immediate restart, so that a batch that was lost is delivered again within a
 * second; from then on the delay doubles.
 */
export function restartDelay(failuresInARow: number, firstMs: number, longestMs: number): number {
  if (failuresInARow <= 1) return 0;
  return Math.min(longestMs, firstMs * 2 ** Math.min(failuresInARow - 2, 30));
}
