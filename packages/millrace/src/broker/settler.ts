// Applies decisions to the store until they are applied: waits out a store that is briefly unavailable, and makes a dead
// letter queue that was deleted meanwhile again, because an accepted message must not be lost for it.

import { isMillraceError, milliseconds, after } from "../core/index.ts";
import type {
  CatalogView,
  Clock,
  ConsumerRecord,
  EpochMs,
  Logger,
  QueueId,
  RetryPolicy,
  SettleReceipt,
  SettleRequest,
  StorageEngine,
  Timers,
} from "../core/index.ts";
import { defaultQueueSettings } from "../contract/index.ts";
import { retryPolicyOf } from "./consumers.ts";
import type { ControlPlane } from "./control-plane.ts";
import { createQueue } from "./queues.ts";

export interface SettlerDependencies {
  readonly engine: StorageEngine;
  readonly controlPlane: ControlPlane;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly logger: Logger;
}

/** Waits between tries while the store is unavailable: doubled from the first to the last. */
const firstWaitMs = 10;
const lastWaitMs = 5_000;
/** So many tries, about 15 seconds, somebody who waits for an answer waits, and a server that is to end. */
const maxTries = 12;
/** A queue whose decisions cannot be stored says so at once, and again after these, doubled from the first to the last. */
const firstSilenceMs = 10_000;
const lastSilenceMs = 600_000;

type Decide = (policy: RetryPolicy | undefined) => SettleRequest;

export class Settler {
  readonly #dependencies: SettlerDependencies;
  readonly #endOfPatience = new AbortController();
  /** Queues that have said that their decisions cannot be stored, until one of them is. */
  readonly #told = new Map<QueueId, { readonly silentUntil: EpochMs; readonly silenceMs: number }>();

  constructor(dependencies: SettlerDependencies) {
    this.#dependencies = dependencies;
  }

  /**
   * Decides by the consumer's policy and applies, for somebody who can ask again. `decide` may run more than once.
   * Throws what the engine throws when trying again does not help, or has not helped.
   */
  async settle(queue: QueueId, consumer: ConsumerRecord | undefined, decide: Decide): Promise<SettleReceipt> {
    return await this.#settle(queue, consumer, decide, { durable: true, isBounded: () => true });
  }

  /**
   * The same for a decision that nobody makes a second time: tries until the store takes it, however long that is, or until
   * `giveUp`. Throws what the engine throws when trying again does not help. The caller bounds how many are under way.
   */
  async settleForGood(queue: QueueId, consumer: ConsumerRecord | undefined, decide: Decide): Promise<SettleReceipt> {
    const isBounded = (): boolean => this.#endOfPatience.signal.aborted;
    return await this.#settle(queue, consumer, decide, { durable: false, isBounded });
  }

  /** The server is to end: nothing is tried more often than for somebody who waits, and without a pause. What is not stored stays leased. */
  giveUp(): void {
    this.#endOfPatience.abort();
  }

  async #settle(
    queue: QueueId,
    consumer: ConsumerRecord | undefined,
    decide: Decide,
    { durable, isBounded }: { readonly durable: boolean; readonly isBounded: () => boolean },
  ): Promise<SettleReceipt> {
    const { engine, controlPlane } = this.#dependencies;
    let waitMs = firstWaitMs;
    for (let tries = 1; ; tries += 1) {
      try {
        let request = decide(retryPolicyOf(controlPlane.view, consumer));
        if (drops(request) && (await this.#restoreDeadLetterQueue(consumer))) {
          request = decide(retryPolicyOf(controlPlane.view, consumer));
        }
        const receipt = await engine.settle(queue, { ...request, durable });
        this.#told.delete(queue);
        return receipt;
      } catch (error) {
        const deadLetterQueueGone =
          isMillraceError(error, "QUEUE_NOT_FOUND") && controlPlane.view.get("queue", queue) !== undefined;
        const retryable =
          deadLetterQueueGone || isMillraceError(error, "UNAVAILABLE", "UNKNOWN_OUTCOME", "STORAGE_FULL");
        if (!retryable || (tries >= maxTries && isBounded())) {
          this.#told.delete(queue); // the caller tells
          throw error;
        }
        this.#tell(queue, tries, error);
        await this.#wait(waitMs);
        // Another server may have deleted it, and the news was lost. If loading fails, so does the next try.
        if (deadLetterQueueGone) await controlPlane.catchUp({ load: true }).catch(() => undefined);
        waitMs = Math.min(lastWaitMs, waitMs * 2);
      }
    }
  }

  #tell(queue: QueueId, tries: number, error: unknown): void {
    const { clock, logger } = this.#dependencies;
    const before = this.#told.get(queue);
    if (before !== undefined && clock.now() < before.silentUntil) return;
    const silenceMs = before === undefined ? firstSilenceMs : Math.min(lastSilenceMs, before.silenceMs * 2);
    this.#told.set(queue, { silentUntil: after(clock.now(), milliseconds(silenceMs)), silenceMs });
    logger.warn("settle.retried", { queue, tries, error: String(error) });
  }

  /** Whether the consumer names a dead letter queue that did not exist and exists now. */
  async #restoreDeadLetterQueue(consumer: ConsumerRecord | undefined): Promise<boolean> {
    const { controlPlane, logger } = this.#dependencies;
    const target = consumer?.dead_letter_queue ?? null;
    if (target === null || consumer === undefined) return false;
    const restored = await controlPlane.change("server", (view: CatalogView, context) => {
      if (view.resolve(target) !== undefined) return { operations: [], audit: [], result: undefined };
      const jurisdiction = view.get("queue", consumer.queue_id)?.jurisdiction ?? null;
      return createQueue(view, context, { name: target.queue_name, settings: defaultQueueSettings, jurisdiction });
    });
    if (restored !== undefined)
      logger.warn("queue.restored", { queue: restored.name, reason: "dead letter queue was deleted" });
    return true;
  }

  /** Ends early when patience does. */
  async #wait(ms: number): Promise<void> {
    const { clock, timers } = this.#dependencies;
    const { signal } = this.#endOfPatience;
    if (signal.aborted) return;
    await new Promise<void>((resolve) => {
      const timer = timers.at(after(clock.now(), milliseconds(ms)), () => {
        signal.removeEventListener("abort", end);
        resolve();
      });
      const end = (): void => {
        timer.cancel();
        resolve();
      };
      signal.addEventListener("abort", end, { once: true });
    });
  }
}

function drops(request: SettleRequest): boolean {
  return (
    request.each.some(({ decision }) => decision.kind === "drop") ||
    request.whole.some(({ decision }) => decision.kind === "drop")
  );
}
