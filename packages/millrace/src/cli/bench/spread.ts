// Medians with ranges.

export interface Spread {
  readonly median: number;
  readonly least: number;
  readonly most: number;
  /** In the order of the rounds. */
  readonly rounds: readonly number[];
}

/** Of one value or more. */
export function spreadOf(rounds: readonly number[]): Spread {
  const sorted = rounds.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  const median = sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
  return { median, least: sorted[0] ?? Number.NaN, most: sorted.at(-1) ?? Number.NaN, rounds };
}
