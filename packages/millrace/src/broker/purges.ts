// Purges run in the background, in slices; a client asks how far they are.

import type { Clock, EpochMs, Logger, QueueId, StorageEngine } from "../core/index.ts";
import type { ControlPlane } from "./control-plane.ts";
import { existingQueue } from "./queues.ts";

export interface PurgeStatus {
  readonly startedAt: EpochMs;
  readonly complete: boolean;
  readonly purged: number;
  /** Why it ended before it was complete. */
  readonly error: string | undefined;
}

interface Running {
  status: PurgeStatus;
  done: Promise<void>;
}

export class Purges {
  readonly #engine: StorageEngine;
  readonly #controlPlane: ControlPlane;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #purges = new Map<QueueId, Running>();
  #stopped = false;

  constructor(dependencies: {
    readonly engine: StorageEngine;
    readonly controlPlane: ControlPlane;
    readonly clock: Clock;
    readonly logger: Logger;
  }) {
    this.#engine = dependencies.engine;
    this.#controlPlane = dependencies.controlPlane;
    this.#clock = dependencies.clock;
    this.#logger = dependencies.logger;
  }

  /**
   * Deletes what the queue holds now. Resolves once the first slice is gone; one that runs already is joined.
   * Throws `QUEUE_NOT_FOUND`.
   */
  async start(queue: QueueId): Promise<PurgeStatus> {
    existingQueue(this.#controlPlane.view, queue);
    const running = this.#purges.get(queue);
    if (running !== undefined && !running.status.complete && running.status.error === undefined) return running.status;
    const startedAt = this.#clock.now();
    const first = await this.#engine.purge(queue, undefined);
    const purge: Running = {
      status: { startedAt, complete: !first.more, purged: first.purged, error: undefined },
      done: Promise.resolve(),
    };
    if (first.more) purge.done = this.#continue(queue, purge, first.token);
    else this.#finished(queue, purge.status);
    this.#purges.set(queue, purge);
    return purge.status;
  }

  /** The newest purge since the server started; `undefined` when there was none. */
  status(queue: QueueId): PurgeStatus | undefined {
    return this.#purges.get(queue)?.status;
  }

  forget(queue: QueueId): void {
    this.#purges.delete(queue);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all([...this.#purges.values()].map(async ({ done }) => await done));
  }

  async #continue(queue: QueueId, purge: Running, token: string): Promise<void> {
    try {
      for (let more = true; more && !this.#stopped;) {
        const slice = await this.#engine.purge(queue, token);
        more = slice.more;
        purge.status = { ...purge.status, purged: purge.status.purged + slice.purged, complete: !more };
      }
      if (purge.status.complete) this.#finished(queue, purge.status);
      else purge.status = { ...purge.status, error: "the server stopped; start the purge again" };
    } catch (error) {
      purge.status = { ...purge.status, error: String(error) };
      this.#logger.warn("purge.failed", { queue, error: String(error) });
    }
  }

  #finished(queue: QueueId, status: PurgeStatus): void {
    const name = this.#controlPlane.view.get("queue", queue)?.name ?? queue;
    this.#logger.info("queue.purged", { queue: name, count: status.purged });
  }
}
