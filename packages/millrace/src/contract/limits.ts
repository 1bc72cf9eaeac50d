// Every number a Cloudflare Queues user can run into, once. Source: queues-contract.md sections 1, 4, 10 and 12.
// KB means 1000 bytes there.

/** An inclusive range of whole numbers, with the value used when a setting is absent. */
export interface WholeNumberLimit {
  readonly min: number;
  readonly max: number;
  readonly default: number;
  readonly unit: string;
}

export const limits = {
  queue: {
    nameLength: { min: 1, max: 63, default: 1, unit: "characters" },
    perAccount: 10_000,
    deliveryDelay: { min: 0, max: 86_400, default: 0, unit: "seconds" },
    retention: { min: 60, max: 1_209_600, default: 345_600, unit: "seconds" },
    backlogBytes: 25_000_000_000,
    /** What `backlog_limit_bytes` may be set to; the default is Cloudflare's. */
    backlogLimit: { min: 1_000_000, max: 1_000_000_000_000_000, default: 25_000_000_000, unit: "bytes" },
    /** What `messages_per_second` may be set to. Cloudflare's is 5,000; here nothing is limited unless somebody asks for it. */
    throughputLimit: { min: 1, max: 10_000_000, default: 5_000, unit: "messages a second" },
  },
  message: {
    /** Includes `metadataBytes`-like overhead on Cloudflare; here the body alone counts. */
    bytes: 128_000,
    delay: { min: 0, max: 86_400, default: 0, unit: "seconds" },
  },
  batchSend: {
    count: { min: 1, max: 100, default: 1, unit: "messages" },
    /** Total of the bodies. Cloudflare names 256 KB; its local simulator tolerates 288,000 (queues-contract.md section 12). */
    bytes: 256_000,
  },
  consumer: {
    batchSize: { min: 1, max: 100, default: 10, unit: "messages" },
    maxWait: { min: 0, max: 60_000, default: 5_000, unit: "milliseconds" },
    maxRetries: { min: 0, max: 100, default: 3, unit: "retries" },
    maxConcurrency: { min: 1, max: 250, default: 250, unit: "invocations" },
    retryDelay: { min: 0, max: 86_400, default: 0, unit: "seconds" },
    /** One invocation of a queue handler. */
    wallTimeMs: 900_000,
  },
  pull: {
    batchSize: { min: 1, max: 100, default: 5, unit: "messages" },
    visibilityTimeout: { min: 0, max: 43_200_000, default: 30_000, unit: "milliseconds" },
  },
  peek: {
    batchSize: { min: 1, max: 100, default: 5, unit: "messages" },
  },
  /** Of this server, not of Cloudflare: what one request may carry. */
  request: {
    jsonBytes: 1_000_000,
    /** Nesting of arrays and objects; beyond it serialisers overflow the stack (rest-api.md, additions). */
    jsonDepth: 1_000,
    pageSize: { min: 1, max: 1_000, default: 100, unit: "items" },
  },
  worker: {
    /** A whole upload: Cloudflare's limit for a Worker before compression is 64 MB. */
    uploadBytes: 67_108_864,
    modules: 1_000,
    bindings: 1_000,
    /** Kept of each Worker; older ones are forgotten when a newer one comes. */
    versions: 100,
    deployments: 50,
  },
} as const;
