// Every number of Cloudflare Queues that this client knows, so that what breaks one is refused before it travels.
// Source: developers.cloudflare.com/queues/platform/limits and /configuration/pull-consumers. KB means 1000 bytes there.

/** An inclusive range of whole numbers. */
export interface WholeNumbers {
  readonly min: number;
  readonly max: number;
  readonly unit: string;
}

export const limits = {
  message: {
    bytes: 128_000,
    delay: { min: 0, max: 86_400, unit: "seconds" },
  },
  batchSend: {
    count: 100,
    /** Of the bodies together. */
    bytes: 256_000,
  },
  pull: {
    batchSize: { min: 1, max: 100, unit: "messages" },
    visibilityTimeout: { min: 0, max: 43_200_000, unit: "milliseconds" },
    /** Of Millrace: what one pull may bring. */
    batches: { min: 1, max: 5, unit: "batches" },
    /** Of Millrace: the longest wait of a long poll. */
    wait: { min: 0, max: 60_000, unit: "milliseconds" },
  },
  /** Of Millrace: leases that one request may settle. What takes fewer gets a refused request again in halves. */
  settle: { count: 1_000 },
} as const;
