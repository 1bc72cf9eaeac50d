// Takes back leases that nobody settled in time. Of a pull, it is a delivery that failed, so it may end in the dead letter queue.
// A push is always settled by its server, and its lease outlives the longest handler: one that ends belongs to a server that is
// gone, or that never learned it had it. Whether the consumer got the batch is not known, so it costs no attempt.

import { leaseExpired, milliseconds, settle } from "../core/index.ts";
import type { Clock, Logger, QueueId, Readiness, RetryPolicy, StorageEngine } from "../core/index.ts";
import type { Alarms } from "./alarms.ts";
import type { ControlPlane } from "./control-plane.ts";
import type { Settler } from "./settler.ts";

export interface LeaseExpiryDependencies {
  readonly engine: StorageEngine;
  readonly controlPlane: ControlPlane;
  readonly settler: Settler;
  readonly alarms: Alarms;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Leases taken back in one step, so that none of them holds up sends for long. */
const slice = 100;

export class LeaseExpiry {
  readonly #dependencies: LeaseExpiryDependencies;
  readonly #running = new Map<QueueId, Promise<void>>();
  #stopped = false;

  constructor(dependencies: LeaseExpiryDependencies) {
    this.#dependencies = dependencies;
  }

  /** Plans by what somebody learned of a queue. */
  observe(queue: QueueId, readiness: Readiness): void {
    const at = readiness.nextLeaseEndsAt;
    if (at === undefined || this.#stopped) return;
    this.#dependencies.alarms.setIfEarlier(`lease-expiry:${queue}`, at, () => void this.expire(queue));
  }

  /** Takes back everything that has ended by now. Never rejects; concurrent calls share one run. */
  async expire(queue: QueueId): Promise<void> {
    const running = this.#running.get(queue);
    if (running !== undefined) return await running;
    const run = this.#expire(queue)
      .catch((error: unknown) => {
        this.#dependencies.logger.warn("lease.expiry_failed", { queue, error: String(error) });
      })
      .finally(() => this.#running.delete(queue));
    this.#running.set(queue, run);
    return await run;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#running.values());
  }

  async #expire(queue: QueueId): Promise<void> {
    const { engine, controlPlane, settler, clock, logger } = this.#dependencies;
    while (!this.#stopped) {
      const record = controlPlane.view.get("queue", queue);
      if (record === undefined) return;
      const ended = await engine.expiredLeases(queue, slice);
      if (ended.length === 0) break;
      const [consumer] = controlPlane.view.consumersOf(queue);
      const receipt = await settler.settle(queue, consumer, (policy) => ({
        each: ended.map(({ lease, attempts }) => ({
          lease,
          decision:
            consumer?.type === "worker"
              ? { kind: "release" }
              : settle(attempts, leaseExpired, policy ?? unlimited, clock.now()),
        })),
        whole: [],
      }));
      logger.info("lease.expired", { queue: record.name, count: receipt.done });
      if (ended.length < slice) {
        this.observe(queue, receipt.readiness);
        return;
      }
    }
    const { readiness } = await engine.metrics(queue);
    this.observe(queue, readiness);
  }
}

/** Without a consumer there is no limit to break: the message just comes back. */
const unlimited: RetryPolicy = {
  maxRetries: Number.POSITIVE_INFINITY,
  retryDelay: milliseconds(0),
  deadLetterQueue: undefined,
};
