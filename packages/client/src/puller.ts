// Takes batches from a queue: one pull, held open by the server where it can, and the pause after one that brought nothing.
//
// Millrace takes two fields that Cloudflare does not have: `millrace_settle`, what became of messages pulled before, and
// `millrace_batches`, how many batches one pull may bring. The first goes along, empty, with every pull to a server that says it is
// Millrace's kind; an answer that says what became of it shows that the server knows both.

import type { ConsumeSettings } from "./consume-options.ts";
import { isFinal, QueueError } from "./errors.ts";
import { isRecord } from "./json-shape.ts";
import { limits } from "./limits.ts";
import { readPull } from "./pulled-messages.ts";
import type { PulledBatch } from "./pulled-messages.ts";
import type { RestQueueParts } from "./rest-queue.ts";
import type { Passengers } from "./settler.ts";
import { pause } from "./time.ts";

export interface PullerOptions {
  readonly parts: RestQueueParts;
  readonly settings: ConsumeSettings;
  readonly stopping: AbortSignal;
  /** Not final: the pull is tried again after `retryInMs`. */
  readonly onFailed: (error: QueueError, retryInMs: number) => void;
}

export interface Pull {
  /** Until a message comes, as long as the server holds the pull; otherwise it is answered at once. */
  readonly wait: boolean;
  /** At most; more than one where `takesMore`. */
  readonly batches: number;
  /** Where `takesMore`. */
  readonly passengers: Passengers | undefined;
}

const firstIdlePauseMs = 50;
/** Of bodies, about: what one pull of several batches may bring. */
const mostPullBytes = 1_000_000;

export class Puller {
  readonly #options: PullerOptions;
  /** Without its end. */
  readonly #bodyStart: string;
  #takesMore = false;
  /** Of a message in this queue, about. */
  #messageBytes = 0;
  #failures = 0;
  #empties = 0;

  constructor(options: PullerOptions) {
    this.#options = options;
    const { batchSize, visibilityTimeoutMs } = options.settings;
    const fields = { batch_size: batchSize, visibility_timeout_ms: visibilityTimeoutMs };
    this.#bodyStart = JSON.stringify(fields).slice(0, -1);
  }

  /** Whether the server takes settlements with a pull, and pulls of several batches. */
  get takesMore(): boolean {
    return this.#takesMore;
  }

  /** How many batches one pull should ask for, where many wait. */
  get fittingBatches(): number {
    if (!this.#takesMore) return 1;
    const { batchSize } = this.#options.settings;
    const fitting = Math.floor(mostPullBytes / Math.max(1, this.#messageBytes * batchSize));
    return Math.min(limits.pull.batches.max, Math.max(1, fitting));
  }

  /** None: nothing there, or stopping. Throws only what waiting cannot mend. */
  async pull(pull: Pull): Promise<readonly PulledBatch[]> {
    const { wait, batches, passengers } = pull;
    const { parts, settings, stopping } = this.#options;
    const startedAt = parts.time.now();
    let batch: PulledBatch;
    try {
      batch = await this.#request(pull);
      this.#failures = 0;
    } catch (error) {
      passengers?.missed();
      await this.#afterFailure(error);
      return [];
    }
    if (batch.messages.length > 0) {
      this.#empties = 0;
      const { backlogBytes, backlogCount } = batch.metrics;
      this.#messageBytes = backlogBytes / Math.max(1, backlogCount);
      return batches === 1 ? [batch] : cut(batch, settings.batchSize);
    }
    if (wait) {
      // A server that held the pull has done the waiting; one that cannot is asked less and less often.
      const longest = Math.min(settings.pollIntervalMs, firstIdlePauseMs * 2 ** Math.min(this.#empties, 30));
      this.#empties += 1;
      await pause(parts.time, Math.max(0, startedAt + longest - parts.time.now()), stopping);
    }
    return [];
  }

  async #request({ wait, batches, passengers }: Pull): Promise<PulledBatch> {
    const { parts, settings, stopping } = this.#options;
    const waitMs = wait ? settings.waitMs : 0;
    const queue = await parts.address.name();
    const result = await parts.address.use(
      async (id) =>
        await parts.connection.request({
          method: "POST",
          path: `/queues/${id}/messages/pull`,
          body: this.#bodyWith(batches, passengers),
          headers: { "millrace-wait-seconds": String(Math.ceil(waitMs / 1_000)) },
          waitMs,
          signal: stopping,
        }),
    );
    const batch = readPull(queue, result);
    const settled = isRecord(result) ? result["millrace_settled"] : undefined;
    this.#takesMore = settled !== undefined;
    if (settled === undefined) passengers?.missed();
    else passengers?.arrived(settled);
    return batch;
  }

  #bodyWith(batches: number, passengers: Passengers | undefined): string {
    if (!this.#options.parts.connection.knowsMessageIds) return `${this.#bodyStart}}`;
    const several = batches === 1 ? "" : `,"millrace_batches":${batches}`;
    return `${this.#bodyStart}${several},"millrace_settle":${passengers?.body ?? "{}"}}`;
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

function cut({ queue, messages, metrics }: PulledBatch, size: number): readonly PulledBatch[] {
  const batches: PulledBatch[] = [];
  for (let at = 0; at < messages.length; at += size) {
    batches.push({ queue, messages: messages.slice(at, at + size), metrics });
  }
  return batches;
}
