// Queue and consumer settings as the REST API names them: checked, with defaults. wrangler checks types only, so every
// range is checked here. Source: queues-contract.md sections 1, 4 and 10; rest-api.md sections 3 and 4.

import { MillraceError } from "../core/index.ts";
import type { ErrorCode } from "../core/index.ts";
import { limits } from "./limits.ts";
import type { WholeNumberLimit } from "./limits.ts";

/** Collects what is wrong with one object's fields, so that all problems are told at once. */
class FieldChecks {
  readonly #problems: string[] = [];
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  /** The field as a whole number within its limit; `undefined` when it is absent. */
  wholeNumber(name: string, value: unknown, limit: WholeNumberLimit): number | undefined {
    if (value === undefined) return undefined;
    if (typeof value === "number" && Number.isInteger(value) && value >= limit.min && value <= limit.max) return value;
    this.#expected(name, `a whole number of ${limit.unit} from ${limit.min} to ${limit.max}`, value);
    return undefined;
  }

  boolean(name: string, value: unknown): boolean | undefined {
    if (value === undefined || typeof value === "boolean") return value;
    this.#expected(name, "true or false", value);
    return undefined;
  }

  oneOf<T extends string>(name: string, value: unknown, allowed: readonly T[]): T | undefined {
    if (value === undefined) return undefined;
    const found = allowed.find((each) => each === value);
    if (found === undefined) this.#expected(name, `one of ${allowed.join(", ")}`, value);
    return found;
  }

  /** Throws everything that was found under one code. */
  finish(code: ErrorCode): void {
    if (this.#problems.length > 0)
      throw new MillraceError(code, this.#problems.join("; "), { fields: { problems: this.#problems } });
  }

  #expected(name: string, rule: string, value: unknown): void {
    const text = JSON.stringify(value) ?? String(value);
    this.#problems.push(
      `${this.#path}${name}: expected ${rule}, got ${text.length > 60 ? `${text.slice(0, 60)}…` : text}`,
    );
  }
}

/** A JSON object, as it came. */
export type RawFields = Readonly<Record<string, unknown>>;

export interface QueueSettings {
  readonly deliveryDelaySeconds: number;
  readonly retentionSeconds: number;
  readonly paused: boolean;
}

export const defaultQueueSettings: QueueSettings = {
  deliveryDelaySeconds: limits.queue.deliveryDelay.default,
  retentionSeconds: limits.queue.retention.default,
  paused: false,
};

/** Checks `settings` of a queue; absent fields are taken from `base`. Throws `QUEUE_SETTINGS_INVALID`. */
export function parseQueueSettings(raw: RawFields, base: QueueSettings = defaultQueueSettings): QueueSettings {
  const checks = new FieldChecks("settings.");
  const delay = checks.wholeNumber("delivery_delay", raw["delivery_delay"], limits.queue.deliveryDelay);
  const retention = checks.wholeNumber(
    "message_retention_period",
    raw["message_retention_period"],
    limits.queue.retention,
  );
  const paused = checks.boolean("delivery_paused", raw["delivery_paused"]);
  checks.finish("QUEUE_SETTINGS_INVALID");
  return {
    deliveryDelaySeconds: delay ?? base.deliveryDelaySeconds,
    retentionSeconds: retention ?? base.retentionSeconds,
    paused: paused ?? base.paused,
  };
}

export const jurisdictions = ["eu", "us", "fedramp"] as const;

/** Throws `QUEUE_SETTINGS_INVALID`. */
export function parseJurisdiction(value: unknown): (typeof jurisdictions)[number] | undefined {
  const checks = new FieldChecks("");
  const jurisdiction = checks.oneOf("jurisdiction", value, jurisdictions);
  checks.finish("QUEUE_SETTINGS_INVALID");
  return jurisdiction;
}

export interface WorkerConsumerSettings {
  readonly batchSize: number;
  readonly maxWaitMs: number;
  readonly maxRetries: number;
  /** `null`: automatic. */
  readonly maxConcurrency: number | null;
  readonly retryDelaySeconds: number;
}

/** Checks `settings` of a worker consumer; absent fields get the defaults. Throws `CONSUMER_SETTINGS_INVALID`. */
export function parseWorkerConsumerSettings(raw: RawFields): WorkerConsumerSettings {
  const { consumer } = limits;
  const checks = new FieldChecks("settings.");
  const concurrency = raw["max_concurrency"];
  const settings: WorkerConsumerSettings = {
    batchSize: checks.wholeNumber("batch_size", raw["batch_size"], consumer.batchSize) ?? consumer.batchSize.default,
    maxWaitMs:
      checks.wholeNumber("max_wait_time_ms", raw["max_wait_time_ms"], consumer.maxWait) ?? consumer.maxWait.default,
    maxRetries:
      checks.wholeNumber("max_retries", raw["max_retries"], consumer.maxRetries) ?? consumer.maxRetries.default,
    maxConcurrency:
      concurrency === null
        ? null
        : (checks.wholeNumber("max_concurrency", concurrency, consumer.maxConcurrency) ?? null),
    retryDelaySeconds:
      checks.wholeNumber("retry_delay", raw["retry_delay"], consumer.retryDelay) ?? consumer.retryDelay.default,
  };
  checks.finish("CONSUMER_SETTINGS_INVALID");
  return settings;
}

export interface PullConsumerSettings {
  readonly batchSize: number;
  readonly visibilityTimeoutMs: number;
  readonly maxRetries: number;
  readonly retryDelaySeconds: number;
}

/** Checks `settings` of a pull consumer; absent fields get the defaults. Throws `CONSUMER_SETTINGS_INVALID`. */
export function parsePullConsumerSettings(raw: RawFields): PullConsumerSettings {
  const { consumer, pull } = limits;
  const checks = new FieldChecks("settings.");
  const settings: PullConsumerSettings = {
    batchSize: checks.wholeNumber("batch_size", raw["batch_size"], pull.batchSize) ?? pull.batchSize.default,
    visibilityTimeoutMs:
      checks.wholeNumber("visibility_timeout_ms", raw["visibility_timeout_ms"], pull.visibilityTimeout) ??
      pull.visibilityTimeout.default,
    maxRetries:
      checks.wholeNumber("max_retries", raw["max_retries"], consumer.maxRetries) ?? consumer.maxRetries.default,
    retryDelaySeconds:
      checks.wholeNumber("retry_delay", raw["retry_delay"], consumer.retryDelay) ?? consumer.retryDelay.default,
  };
  checks.finish("CONSUMER_SETTINGS_INVALID");
  return settings;
}

/** How much a queue takes in; an extension of Millrace, in the names of its records. */
export interface IntakeLimits {
  readonly backlog_limit_bytes: number;
  /** `null`: as many as come. */
  readonly messages_per_second: number | null;
}

/** Checks intake limits; absent fields stay absent. Throws `QUEUE_SETTINGS_INVALID`. */
export function parseIntakeLimits(raw: RawFields): Partial<IntakeLimits> {
  const checks = new FieldChecks("");
  const { backlogLimit, throughputLimit } = limits.queue;
  const bytes = checks.wholeNumber("backlog_limit_bytes", raw["backlog_limit_bytes"], backlogLimit);
  const rate = raw["messages_per_second"];
  const messages = rate === null ? null : checks.wholeNumber("messages_per_second", rate, throughputLimit);
  checks.finish("QUEUE_SETTINGS_INVALID");
  return {
    ...(bytes !== undefined && { backlog_limit_bytes: bytes }),
    ...(messages !== undefined && { messages_per_second: messages }),
  };
}
