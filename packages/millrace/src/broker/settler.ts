// Applies decisions to the store until they are applied: waits out a store that is briefly unavailable, and makes a dead
// letter queue that was deleted meanwhile again, because an accepted message must not be lost for it.

import { isMillraceError, milliseconds, after } from "../core/index.ts";
import type {
  CatalogView,
  Clock,
  ConsumerRecord,
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
/** After this many tries the leases are left to end by themselves; the messages come back then. */
const maxTries = 12;

export class Settler {
  readonly #dependencies: SettlerDependencies;

  constructor(dependencies: SettlerDependencies) {
    this.#dependencies = dependencies;
  }

  /**
   * Decides by the consumer's policy and applies. `decide` may run more than once.
   * Throws what the engine throws when trying again does not help.
   */
  async settle(
    queue: QueueId,
    consumer: ConsumerRecord | undefined,
    decide: (policy: RetryPolicy | undefined) => SettleRequest,
  ): Promise<SettleReceipt> {
    const { engine, controlPlane, logger } = this.#dependencies;
    let waitMs = firstWaitMs;
    for (let tries = 1; ; tries += 1) {
      try {
        let request = decide(retryPolicyOf(controlPlane.view, consumer));
        if (drops(request) && (await this.#restoreDeadLetterQueue(consumer))) {
          request = decide(retryPolicyOf(controlPlane.view, consumer));
        }
        return await engine.settle(queue, request);
      } catch (error) {
        const deadLetterQueueGone =
          isMillraceError(error, "QUEUE_NOT_FOUND") && controlPlane.view.get("queue", queue) !== undefined;
        const retryable =
          deadLetterQueueGone || isMillraceError(error, "UNAVAILABLE", "UNKNOWN_OUTCOME", "STORAGE_FULL");
        if (!retryable || tries >= maxTries) throw error;
        logger.warn("settle.retried", { queue, tries, error: String(error) });
        await this.#wait(waitMs);
        // Another server may have deleted it, and the news was lost. If loading fails, so does the next try.
        if (deadLetterQueueGone) await controlPlane.catchUp({ load: true }).catch(() => undefined);
        waitMs = Math.min(lastWaitMs, waitMs * 2);
      }
    }
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

  async #wait(ms: number): Promise<void> {
    const { clock, timers } = this.#dependencies;
    await new Promise<void>((resolve) => void timers.at(after(clock.now(), milliseconds(ms)), resolve));
  }
}

function drops(request: SettleRequest): boolean {
  return (
    request.each.some(({ decision }) => decision.kind === "drop") ||
    request.whole.some(({ decision }) => decision.kind === "drop")
  );
}
