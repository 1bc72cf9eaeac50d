// Takes one batch from a queue: one pull, held open by the server where it can, and the pause after one that brought nothing.

import type { ConsumeSettings } from "./consume-options.ts";
import { isFinal, QueueError } from "./errors.ts";
import { readPull } from "./pulled-messages.ts";
import type { PulledBatch } from "./pulled-messages.ts";
import type { RestQueueParts } from "./rest-queue.ts";
import { pause } from "./time.ts";

export interface PullerOptions {
  readonly parts: RestQueueParts;
  readonly settings: ConsumeSettings;
  readonly stopping: AbortSignal;
  /** Not final: the pull is tried again after `retryInMs`. */
  readonly onFailed: (error: QueueError, retryInMs: number) => void;
}

const firstIdlePauseMs = 50;

export class Puller {
  readonly #options: PullerOptions;
  readonly #body: string;
  #failures = 0;
  #empties = 0;

  constructor(options: PullerOptions) {
    this.#options = options;
    const { batchSize, visibilityTimeoutMs } = options.settings;
    this.#body = JSON.stringify({ batch_size: batchSize, visibility_timeout_ms: visibilityTimeoutMs });
  }

  /**
   * `undefined`: nothing there, or stopping. `wait`: until a message comes, as long as the server holds the pull; otherwise
   * answers at once. Throws only what waiting cannot mend.
   */
  async pull(wait: boolean): Promise<PulledBatch | undefined> {
    const { parts, stopping } = this.#options;
    const startedAt = parts.time.now();
    let batch: PulledBatch;
    try {
      batch = await this.#request(wait);
      this.#failures = 0;
    } catch (error) {
      await this.#afterFailure(error);
      return undefined;
    }
    if (batch.messages.length > 0) {
      this.#empties = 0;
      return batch;
    }
    if (wait) {
      // A server that held the pull has done the waiting; one that cannot is asked less and less often.
      const { pollIntervalMs } = this.#options.settings;
      const longest = Math.min(pollIntervalMs, firstIdlePauseMs * 2 ** Math.min(this.#empties, 30));
      this.#empties += 1;
      await pause(parts.time, Math.max(0, startedAt + longest - parts.time.now()), stopping);
    }
    return undefined;
  }

  async #request(wait: boolean): Promise<PulledBatch> {
    const { parts, settings, stopping } = this.#options;
    const waitMs = wait ? settings.waitMs : 0;
    const queue = await parts.address.name();
    return await parts.address.use(async (id) =>
      readPull(
        queue,
        await parts.connection.request({
          method: "POST",
          path: `/queues/${id}/messages/pull`,
          body: this.#body,
          headers: { "millrace-wait-seconds": String(Math.ceil(waitMs / 1_000)) },
          waitMs,
          signal: stopping,
        }),
      ),
    );
  }

  async #afterFailure(error: unknown): Promise<void> {
    const { parts, stopping, onFailed } = this.#options;
    if (error instanceof QueueError && error.code === "STOPPED") return;
    if (!(error instanceof QueueError) || isFinal(error)) throw error;
    this.#failures += 1;
    const retryInMs = parts.retry.delayMs(this.#failures, error);
    onFailed(error, retryInMs);
    await pause(parts.time, retryInMs, stopping);
  }
}
