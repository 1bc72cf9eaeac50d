// Keeps leases from ending while a handler runs, through an endpoint that Millrace has and Cloudflare has not.

import { QueueError } from "./errors.ts";
import type { RestQueueParts } from "./rest-queue.ts";
import { readWarnings } from "./settler.ts";
import type { SettleWarnings } from "./settler.ts";

export interface LeaseKeeperOptions {
  readonly parts: RestQueueParts;
  readonly visibilityTimeoutMs: number;
  /** Some leases were not extended: they had ended before. */
  readonly onLost: (warnings: SettleWarnings) => void;
  /** `givesUp`: the server has no such endpoint, and is not asked again. */
  readonly onFailed: (error: QueueError, givesUp: boolean) => void;
}

export class LeaseKeeper {
  readonly #options: LeaseKeeperOptions;
  #isSupported = true;

  constructor(options: LeaseKeeperOptions) {
    this.#options = options;
  }

  /** Extends the leases from now on, three times in each visibility timeout, until the function returned is called. */
  keep(leaseIds: readonly string[]): () => void {
    const { parts, visibilityTimeoutMs } = this.#options;
    let cancel: (() => void) | undefined;
    let ended = false;
    const plan = (): void => {
      if (ended || !this.#isSupported) return;
      cancel = parts.time.after(visibilityTimeoutMs / 3, () => {
        void this.#extend(leaseIds, () => ended).then(plan);
      });
    };
    plan();
    return () => {
      ended = true;
      cancel?.();
    };
  }

  /** Never rejects. One try: the next one is near. */
  async #extend(leaseIds: readonly string[], hasEnded: () => boolean): Promise<void> {
    const { parts, visibilityTimeoutMs, onLost, onFailed } = this.#options;
    const body = JSON.stringify({
      leases: leaseIds.map((lease_id) => ({ lease_id })),
      visibility_timeout_ms: visibilityTimeoutMs,
    });
    try {
      const result = await parts.address.use(
        async (id) =>
          await parts.connection.request({ method: "POST", path: `/millrace/queues/${id}/messages/extend`, body }),
      );
      const warnings = readWarnings(result);
      if (warnings.size > 0 && !hasEnded()) onLost(warnings); // settled meanwhile: nothing is lost
    } catch (error) {
      if (!(error instanceof QueueError)) throw error;
      const givesUp = error.status === 404 || error.status === 405;
      if (givesUp && !this.#isSupported) return; // told before
      if (givesUp) this.#isSupported = false;
      if (!hasEnded() || givesUp) onFailed(error, givesUp);
    }
  }
}
