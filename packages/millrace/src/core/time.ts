// Units of time. Cloudflare's API mixes seconds and milliseconds: borders convert once, everything inside is branded.

declare const unit: unique symbol;

/** A span of time, in milliseconds. */
export type Milliseconds = number & { readonly [unit]: "span-ms" };

/** A point in time: milliseconds since the Unix epoch. */
export type EpochMs = number & { readonly [unit]: "epoch-ms" };

export const milliseconds = (n: number): Milliseconds => n as Milliseconds;
export const seconds = (n: number): Milliseconds => (n * 1_000) as Milliseconds;
export const minutes = (n: number): Milliseconds => seconds(n * 60);
export const hours = (n: number): Milliseconds => minutes(n * 60);
export const epochMs = (n: number): EpochMs => n as EpochMs;

/** The point in time a span after another one. */
export const after = (at: EpochMs, span: Milliseconds): EpochMs => (at + span) as EpochMs;

/** The earlier of the points that are given; `undefined` when none is. */
export function earliest(...points: readonly (EpochMs | undefined)[]): EpochMs | undefined {
  let found: EpochMs | undefined;
  for (const point of points) {
    if (point !== undefined && (found === undefined || point < found)) found = point;
  }
  return found;
}
