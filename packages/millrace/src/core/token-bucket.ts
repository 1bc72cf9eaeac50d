// A rate limit: a bucket that holds one second's worth and fills evenly. Pure: state and time go in, state comes out.

import type { EpochMs } from "./time.ts";

export interface TokenBucket {
  readonly tokens: number;
  readonly at: EpochMs;
}

export type TakeResult =
  | { readonly kind: "taken"; readonly bucket: TokenBucket }
  /** Not enough: after `retryAfterMs` there will be. */
  | { readonly kind: "refused"; readonly bucket: TokenBucket; readonly retryAfterMs: number };

/**
 * Takes `count` tokens at `now` from a bucket that fills with `perSecond`; an absent bucket is full. A full bucket lets a
 * larger count pass and goes into debt for it, so that no count is too large to ever pass.
 */
export function takeTokens(
  bucket: TokenBucket | undefined,
  count: number,
  perSecond: number,
  now: EpochMs,
): TakeResult {
  const elapsed = bucket === undefined ? 0 : Math.max(0, now - bucket.at);
  const tokens = bucket === undefined ? perSecond : Math.min(perSecond, bucket.tokens + (elapsed * perSecond) / 1_000);
  const needed = Math.min(count, perSecond);
  if (tokens >= needed) return { kind: "taken", bucket: { tokens: tokens - count, at: now } };
  return {
    kind: "refused",
    bucket: { tokens, at: now },
    retryAfterMs: Math.ceil(((needed - tokens) * 1_000) / perSecond),
  };
}
