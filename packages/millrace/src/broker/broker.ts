// Everything that runs between the store and the consumers: one loop a push consumer, pulls, lease expiry, retention, purges.
// Follows the catalog; holds nothing that a restart would miss.

import type {
  CatalogView,
  Clock,
  Holder,
  Logger,
  QueueId,
  QueueRecord,
  Readiness,
  StorageEngine,
  Timers,
  WorkerConsumerRecord,
} from "../core/index.ts";
import { Alarms } from "./alarms.ts";
import { ConsumerLoop } from "./consumer-loop.ts";
import type { ControlPlane } from "./control-plane.ts";
import { LeaseExpiry } from "./lease-expiry.ts";
import { PullConsumers } from "./pull.ts";
import { Purges } from "./purges.ts";
import type { PushTarget } from "./push-target.ts";
import { RetentionSweeper } from "./retention-sweeper.ts";
import { Settler } from "./settler.ts";
import { SurveyPoll } from "./survey-poll.ts";

export interface BrokerDependencies {
  readonly engine: StorageEngine;
  readonly controlPlane: ControlPlane;
  readonly target: PushTarget;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly logger: Logger;
  /** This server, newly named at each start. */
  readonly holder: Holder;
}

interface RunningConsumer {
  readonly loop: ConsumerLoop;
  /** What the loop was last told, to see what changed. */
  queue: QueueRecord;
  consumer: WorkerConsumerRecord;
}

export class Broker {
  readonly pulls: PullConsumers;
  readonly purges: Purges;
  readonly #dependencies: BrokerDependencies;
  readonly #alarms: Alarms;
  readonly #settler: Settler;
  readonly #leaseExpiry: LeaseExpiry;
  readonly #retention: RetentionSweeper;
  readonly #surveyPoll: SurveyPoll;
  /** By queue: a queue has one push consumer today, and what is stored does not assume it. */
  readonly #consumers = new Map<QueueId, RunningConsumer>();
  /** Loops whose consumer is gone, still finishing what they deliver. */
  readonly #retiring = new Set<ConsumerLoop>();
  readonly #unsubscribe: (() => void)[] = [];
  #queues = new Map<QueueId, QueueRecord>();
  #stopping: Promise<void> | undefined;

  private constructor(dependencies: BrokerDependencies) {
    this.#dependencies = dependencies;
    const { engine, controlPlane, clock, timers, logger } = dependencies;
    const observe = (queue: QueueRecord, readiness: Readiness): void => this.#observe(queue, readiness);
    this.#alarms = new Alarms(clock, timers);
    const alarms = this.#alarms;
    this.#settler = new Settler({ engine, controlPlane, clock, timers, logger });
    const settler = this.#settler;
    this.#leaseExpiry = new LeaseExpiry({ engine, controlPlane, settler, alarms, clock, logger });
    this.#retention = new RetentionSweeper({ engine, controlPlane, alarms, clock, logger });
    const onReading = (queue: QueueId, readiness: Readiness): void => this.#wake(queue, readiness);
    this.#surveyPoll = new SurveyPoll({ engine, controlPlane, alarms, clock, logger, onReading });
    this.purges = new Purges({ engine, controlPlane, clock, logger });
    this.pulls = new PullConsumers({
      engine,
      controlPlane,
      settler,
      leaseExpiry: this.#leaseExpiry,
      alarms,
      clock,
      observe,
    });
  }

  /**
   * Starts delivering. What earlier servers on this data held comes back first, without costing an attempt: an engine that is
   * not shared has no other server alive.
   */
  static async start(dependencies: BrokerDependencies): Promise<Broker> {
    const { engine, controlPlane, logger } = dependencies;
    if (!engine.capabilities.shared) {
      for (const holder of await engine.holders()) {
        if (!holder.startsWith("server:")) continue;
        const count = await engine.releaseHolder(holder);
        if (count > 0) logger.info("lease.recovered", { count, holder });
      }
    }
    const broker = new Broker(dependencies);
    broker.#unsubscribe.push(
      engine.onWake((queue, readiness) => broker.#wake(queue, readiness)),
      engine.onSending((queue, messages) => broker.#expect(queue, messages)),
      controlPlane.onChange((view) => broker.#follow(view)),
      dependencies.target.onReady((worker) => {
        for (const { loop, consumer } of broker.#consumers.values()) if (consumer.script === worker) loop.workerReady();
      }),
    );
    for (const { queue, readiness } of await engine.survey()) {
      broker.#leaseExpiry.observe(queue, readiness);
      broker.#retention.sweepSoon(queue);
    }
    broker.#follow(controlPlane.view);
    broker.#surveyPoll.start();
    return broker;
  }

  /** The loop of a queue's push consumer, to look at. */
  loopOf(queue: QueueId): ConsumerLoop | undefined {
    return this.#consumers.get(queue)?.loop;
  }

  /** Deliveries under way over all queues. */
  get inFlight(): number {
    let count = 0;
    for (const { loop } of this.#consumers.values()) count += loop.inFlight;
    return count;
  }

  /**
   * Drains: leases nothing more and waits for what is being delivered. When `giveUp` is aborted the rest is given back
   * without costing an attempt. May be called repeatedly; the first call counts.
   */
  async stop(giveUp?: AbortSignal): Promise<void> {
    this.#stopping ??= this.#stop(giveUp);
    return await this.#stopping;
  }

  async #stop(giveUp: AbortSignal | undefined): Promise<void> {
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    this.pulls.stop();
    const loops = [...[...this.#consumers.values()].map(({ loop }) => loop), ...this.#retiring];
    const giveUpSettling = (): void => this.#settler.giveUp();
    if (giveUp?.aborted === true) giveUpSettling();
    giveUp?.addEventListener("abort", giveUpSettling, { once: true });
    await Promise.all([
      ...loops.map(async (loop) => await loop.stop(giveUp)),
      this.#surveyPoll.stop(),
      this.purges.stop(),
      this.#retention.stop(),
      this.#leaseExpiry.stop(),
    ]);
    giveUp?.removeEventListener("abort", giveUpSettling);
    this.#alarms[Symbol.dispose]();
  }

  #expect(id: QueueId, messages: number): void {
    this.#consumers.get(id)?.loop.expect(messages);
    this.pulls.wake(id);
  }

  #wake(id: QueueId, readiness: Readiness | undefined): void {
    this.#consumers.get(id)?.loop.wake(readiness);
    // Who was told of the send beforehand may have taken all of it.
    const isTaken = readiness?.ready === 0 && readiness.nextDueAt === undefined;
    if (!isTaken) this.pulls.wake(id);
    const queue = this.#queues.get(id);
    if (queue !== undefined) this.#observe(queue, readiness);
  }

  #observe(queue: QueueRecord, readiness: Readiness | undefined): void {
    this.#retention.observe(queue);
    if (readiness !== undefined) this.#leaseExpiry.observe(queue.id, readiness);
  }

  /** Makes the running loops match the catalog. */
  #follow(view: CatalogView): void {
    if (this.#stopping !== undefined) return;
    const queues = new Map(view.all("queue").map((queue) => [queue.id, queue]));
    this.#followQueues(queues);
    for (const [id, running] of this.#consumers) {
      const consumer = view.consumersOf(id).find((each) => each.type === "worker");
      if (queues.has(id) && consumer?.id === running.consumer.id) continue;
      this.#consumers.delete(id);
      this.#retire(running.loop);
    }
    for (const consumer of view.all("consumer")) {
      const queue = queues.get(consumer.queue_id);
      if (consumer.type === "worker" && queue !== undefined) this.#run(queue, consumer);
    }
  }

  #followQueues(queues: Map<QueueId, QueueRecord>): void {
    for (const [id, before] of this.#queues) {
      const now = queues.get(id);
      if (now === undefined) {
        this.#retention.forget(id);
        this.purges.forget(id);
        this.pulls.wake(id);
      } else if (now !== before) {
        if (now.retention_s !== before.retention_s) this.#retention.sweepSoon(id);
        if (now.paused !== before.paused) this.pulls.wake(id);
      }
    }
    this.#queues = queues;
  }

  #run(queue: QueueRecord, consumer: WorkerConsumerRecord): void {
    const running = this.#consumers.get(queue.id);
    if (running === undefined) {
      const { engine, target, clock, logger, holder } = this.#dependencies;
      const loop = new ConsumerLoop(queue, consumer, {
        engine,
        target,
        settler: this.#settler,
        alarms: this.#alarms,
        clock,
        logger,
        holder,
        observe: (each, readiness) => this.#observe(each, readiness),
      });
      this.#consumers.set(queue.id, { loop, queue, consumer });
      loop.wake();
    } else if (running.queue !== queue || running.consumer !== consumer) {
      running.queue = queue;
      running.consumer = consumer;
      running.loop.update(queue, consumer);
    }
  }

  #retire(loop: ConsumerLoop): void {
    this.#retiring.add(loop);
    void loop.stop().finally(() => this.#retiring.delete(loop));
  }
}
