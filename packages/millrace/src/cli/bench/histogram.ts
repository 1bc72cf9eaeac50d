// Counts how long things took, in a fixed amount of memory: exact below 128 µs, within 1.6 % above, the longest exactly.

/** Counts by bucket, the empty ones left out, as it travels between processes and into files. */
export interface HistogramData {
  readonly buckets: readonly (readonly [bucket: number, count: number])[];
  readonly maxUs: number;
}

const exactUs = 128;
const stepsPerDoubling = 64;
const doublings = 24; // up to half an hour
const longestUs = 2 ** 31 - 1;

export class Histogram {
  readonly #counts = new Uint32Array(exactUs + doublings * stepsPerDoubling);
  #count = 0;
  #maxUs = 0;

  static from({ buckets, maxUs }: HistogramData): Histogram {
    const histogram = new Histogram();
    for (const [bucket, count] of buckets) histogram.#add(bucket, count);
    histogram.#maxUs = maxUs;
    return histogram;
  }

  get count(): number {
    return this.#count;
  }

  record(ms: number): void {
    const us = Math.min(longestUs, Math.round(ms * 1_000));
    this.#add(bucketOf(us), 1);
    if (us > this.#maxUs) this.#maxUs = us;
  }

  merge(other: Histogram): void {
    for (const [bucket, count] of other.#counts.entries()) if (count > 0) this.#add(bucket, count);
    this.#maxUs = Math.max(this.#maxUs, other.#maxUs);
  }

  get maxMs(): number {
    return this.#maxUs / 1_000;
  }

  /** The time that `share` (0 to 1) of all stayed within; 0 when nothing was recorded. */
  percentileMs(share: number): number {
    let left = Math.ceil(this.#count * share);
    if (left === 0) return 0;
    for (const [bucket, count] of this.#counts.entries()) {
      left -= count;
      if (left <= 0) return Math.min(topOf(bucket), this.#maxUs) / 1_000;
    }
    return this.maxMs;
  }

  toJSON(): HistogramData {
    const buckets: [number, number][] = [];
    for (const [bucket, count] of this.#counts.entries()) if (count > 0) buckets.push([bucket, count]);
    return { buckets, maxUs: this.#maxUs };
  }

  #add(bucket: number, count: number): void {
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + count;
    this.#count += count;
  }
}

function bucketOf(us: number): number {
  if (us < exactUs) return us;
  const shift = 31 - Math.clz32(us) - 6;
  return exactUs + (shift - 1) * stepsPerDoubling + (us >> shift) - stepsPerDoubling;
}

/** The longest time that falls into a bucket. */
function topOf(bucket: number): number {
  if (bucket < exactUs) return bucket;
  const shift = Math.floor((bucket - exactUs) / stepsPerDoubling) + 1;
  const step = ((bucket - exactUs) % stepsPerDoubling) + stepsPerDoubling;
  return (step + 1) * 2 ** shift - 1;
}
