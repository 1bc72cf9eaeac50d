// How much a queue takes in: its backlog limit and its rate limit, both judged before anything is stored.

import { MillraceError, takeTokens } from "../core/index.ts";
import type { Clock, QueueId, QueueRecord, SendReceipt, StorageEngine, TokenBucket } from "../core/index.ts";

/**
 * Keeps, for each queue that is sent to, the backlog as the last send left it: at least what it really is, since consumers
 * only make it smaller. Only when that reaches the limit is the store asked.
 */
export class Admission {
  readonly #engine: StorageEngine;
  readonly #clock: Clock;
  readonly #bytes = new Map<QueueId, number>();
  readonly #buckets = new Map<QueueId, TokenBucket>();

  constructor(engine: StorageEngine, clock: Clock) {
    this.#engine = engine;
    this.#clock = clock;
  }

  /** Answers at once where it can. Throws `RATE_LIMITED` and `BACKLOG_FULL`. */
  admit(queue: QueueRecord, count: number, bytes: number): Promise<void> | undefined {
    if (queue.messages_per_second !== null) this.#takeRate(queue, queue.messages_per_second, count);
    const known = this.#bytes.get(queue.id);
    if (known !== undefined && known + bytes <= queue.backlog_limit_bytes) {
      this.#bytes.set(queue.id, known + bytes);
      return undefined;
    }
    return this.#askStore(queue, bytes);
  }

  /** What the store said after a send. */
  learn(queue: QueueId, receipt: SendReceipt): void {
    this.#bytes.set(queue, receipt.backlog.bytes);
  }

  forget(queue: QueueId): void {
    this.#bytes.delete(queue);
    this.#buckets.delete(queue);
  }

  async #askStore(queue: QueueRecord, bytes: number): Promise<void> {
    const { backlog } = await this.#engine.metrics(queue.id);
    this.#bytes.set(queue.id, backlog.bytes);
    if (backlog.bytes + bytes <= queue.backlog_limit_bytes) return;
    throw new MillraceError(
      "BACKLOG_FULL",
      `Storage Limit Exceeded: queue ${queue.name} holds ${backlog.bytes} bytes of at most ${queue.backlog_limit_bytes}`,
    );
  }

  #takeRate(queue: QueueRecord, perSecond: number, count: number): void {
    const taken = takeTokens(this.#buckets.get(queue.id), count, perSecond, this.#clock.now());
    this.#buckets.set(queue.id, taken.bucket);
    if (taken.kind === "taken") return;
    throw new MillraceError(
      "RATE_LIMITED",
      `Too Many Requests: queue ${queue.name} takes ${perSecond === 1 ? "1 message" : `${perSecond} messages`} a second`,
      {
        fields: { retry_after_ms: taken.retryAfterMs },
      },
    );
  }
}
