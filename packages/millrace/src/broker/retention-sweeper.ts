// Deletes messages that outlived their queue's retention, in slices, planned by when the oldest came in.

import { after, expiryHorizon, milliseconds, nextSweepAt, seconds } from "../core/index.ts";
import type { Clock, Logger, QueueId, QueueRecord, StorageEngine } from "../core/index.ts";
import type { Alarms } from "./alarms.ts";
import type { ControlPlane } from "./control-plane.ts";

export interface RetentionSweeperDependencies {
  readonly engine: StorageEngine;
  readonly controlPlane: ControlPlane;
  readonly alarms: Alarms;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Messages deleted in one step, so that none of them holds up sends for long. */
const slice = 1_000;
/** A queue that loses a message every millisecond is not swept a thousand times a second. */
const shortestPause = seconds(1);
const afterFailure = seconds(10);

export class RetentionSweeper {
  readonly #dependencies: RetentionSweeperDependencies;
  readonly #running = new Map<QueueId, Promise<void>>();
  #stopped = false;

  constructor(dependencies: RetentionSweeperDependencies) {
    this.#dependencies = dependencies;
  }

  /** The queue holds something: nothing younger than this call can expire before its retention has passed. */
  observe(queue: QueueRecord): void {
    if (this.#stopped || this.#dependencies.alarms.has(keyOf(queue.id)) || this.#running.has(queue.id)) return;
    this.#plan(queue.id, nextSweepAt(this.#dependencies.clock.now(), seconds(queue.retention_s)));
  }

  /** Sweeps as soon as possible: at start, and when a queue's retention changed. */
  sweepSoon(queue: QueueId): void {
    if (!this.#stopped) this.#plan(queue, this.#dependencies.clock.now());
  }

  forget(queue: QueueId): void {
    this.#dependencies.alarms.clear(keyOf(queue));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#running.values());
  }

  /** An earlier plan stands: the retention may have been shortened since the sweep began that makes this one. */
  #plan(queue: QueueId, at: ReturnType<typeof nextSweepAt>): void {
    if (at === undefined) return;
    this.#dependencies.alarms.setIfEarlier(keyOf(queue), at, () => {
      const run = this.#sweepAfter(this.#running.get(queue), queue).finally(() => {
        if (this.#running.get(queue) === run) this.#running.delete(queue);
      });
      this.#running.set(queue, run);
    });
  }

  /** Never rejects; one sweep of a queue at a time. */
  async #sweepAfter(previous: Promise<void> | undefined, queue: QueueId): Promise<void> {
    await previous;
    try {
      await this.#sweep(queue);
    } catch (error) {
      const { clock, logger } = this.#dependencies;
      logger.warn("retention.sweep_failed", { queue, error: String(error) });
      if (!this.#stopped) this.#plan(queue, after(clock.now(), afterFailure));
    }
  }

  async #sweep(queue: QueueId): Promise<void> {
    const { engine, controlPlane, clock, logger } = this.#dependencies;
    let expired = 0;
    while (!this.#stopped) {
      const record = controlPlane.view.get("queue", queue);
      if (record === undefined) return;
      const retention = seconds(record.retention_s);
      const swept = await engine.sweep(queue, expiryHorizon(clock.now(), retention), slice);
      expired += swept.expired;
      if (swept.more) continue;
      if (expired > 0) logger.info("message.expired", { queue: record.name, count: expired });
      const next = nextSweepAt(swept.nextStoredAt, retention);
      const earliest = after(clock.now(), milliseconds(shortestPause));
      if (next !== undefined) this.#plan(queue, next > earliest ? next : earliest);
      return;
    }
  }
}

function keyOf(queue: QueueId): string {
  return `retention:${queue}`;
}
