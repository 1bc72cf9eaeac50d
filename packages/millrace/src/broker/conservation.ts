// Looks all the time, a few queues at a time, whether every accepted message is accounted for, and says loudly when one is not.
// It reads counters: what they count is read by `verify`, which people and `millrace doctor` ask for.

import { after, hours, imbalanceOf, isMillraceError, judgeConservation, seconds } from "../core/index.ts";
import type {
  Clock,
  CountedQueue,
  Discrepancy,
  EpochMs,
  LogFields,
  Logger,
  QueueId,
  QueueName,
  StorageEngine,
  Timers,
} from "../core/index.ts";
import type { ControlPlane } from "./control-plane.ts";

export interface ConservationDependencies {
  readonly engine: StorageEngine;
  readonly controlPlane: ControlPlane;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly logger: Logger;
}

/** A look reads some numbers of this many queues, in one go of the store; 10,000 queues are through in a quarter of an hour. */
const queuesAtOnce = 64;
const interval = seconds(5);
/** What has been said and not changed since is said again after this time. */
const repeatAfter = hours(1);

export class Conservation implements AsyncDisposable {
  readonly #dependencies: ConservationDependencies;
  /** What was said of which queue, and when. */
  readonly #told = new Map<QueueId, { readonly words: string; readonly at: EpochMs }>();
  /** The queue that was looked at last: the next look goes on behind it. */
  #last: QueueId | undefined;
  #timer: { cancel(): void } | undefined;
  #running: Promise<void>;
  #stopped = false;

  /** Looks at every queue at once, and then again and again. */
  constructor(dependencies: ConservationDependencies) {
    this.#dependencies = dependencies;
    this.#running = this.#lookAtAll();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    await this.#running;
  }

  async #lookAtAll(): Promise<void> {
    const { controlPlane } = this.#dependencies;
    const looks = Math.ceil(controlPlane.view.all("queue").length / queuesAtOnce);
    for (let done = 0; done < looks && !this.#stopped; done += 1) await this.#look();
    this.#schedule();
  }

  #schedule(): void {
    if (this.#stopped) return;
    const { clock, timers } = this.#dependencies;
    this.#timer = timers.at(after(clock.now(), interval), () => {
      this.#running = this.#look().finally(() => this.#schedule());
    });
  }

  /** Never rejects. */
  async #look(): Promise<void> {
    const { controlPlane, engine, logger } = this.#dependencies;
    const queues = controlPlane.view.all("queue");
    const from = queues.findIndex(({ id }) => id === this.#last) + 1;
    const chosen = [...queues.slice(from), ...queues.slice(0, from)].slice(0, queuesAtOnce);
    this.#last = chosen.at(-1)?.id;
    if (this.#told.size > 0) this.#forgetDeleted(new Set(queues.map(({ id }) => id)));
    try {
      await Promise.all(
        chosen.map(async ({ id, name }) => {
          try {
            this.#judge(id, name, await engine.metrics(id));
          } catch (error) {
            if (!isMillraceError(error, "QUEUE_NOT_FOUND")) throw error; // deleted meanwhile
          }
        }),
      );
    } catch (error) {
      if (!this.#stopped) logger.warn("conservation.check_failed", { error: String(error) });
    }
  }

  #judge(id: QueueId, name: QueueName, counted: CountedQueue): void {
    const { clock, logger } = this.#dependencies;
    const discrepancies = judgeConservation(counted);
    if (discrepancies.length === 0) {
      this.#told.delete(id);
      return;
    }
    const words = discrepancies.map(({ text }) => text).join("; ");
    const told = this.#told.get(id);
    if (told?.words === words && clock.now() < after(told.at, repeatAfter)) return;
    this.#told.set(id, { words, at: clock.now() });
    logger.error("conservation.violated", violationFields(name, counted, discrepancies));
  }

  #forgetDeleted(existing: ReadonlySet<QueueId>): void {
    for (const id of this.#told.keys()) if (!existing.has(id)) this.#told.delete(id);
  }
}

/** All the numbers and words of the event `conservation.violated`. */
export function violationFields(
  queue: QueueName,
  counted: CountedQueue,
  discrepancies: readonly Discrepancy[],
): LogFields {
  const { backlog, accounting, held } = counted;
  return {
    queue,
    problem: discrepancies.map(({ text }) => text).join("; "),
    remedy: discrepancies[0]?.remedy ?? "",
    imbalance: imbalanceOf(counted),
    backlog: backlog.count,
    held,
    ...accounting,
  };
}
