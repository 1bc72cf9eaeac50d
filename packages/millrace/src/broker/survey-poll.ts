// Asks the store at intervals how its queues stand, and for settings that may have changed unnoticed. Hints may be lost and what was
// planned by them may fail: this makes up for both, so that nothing waits for good.

import { after, seconds } from "../core/index.ts";
import type { Clock, Logger, QueueId, Readiness, StorageEngine } from "../core/index.ts";
import type { Alarms } from "./alarms.ts";
import type { ControlPlane } from "./control-plane.ts";

export interface SurveyPollDependencies {
  readonly engine: StorageEngine;
  readonly controlPlane: ControlPlane;
  readonly alarms: Alarms;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Told how each queue with a backlog stands. */
  readonly onReading: (queue: QueueId, readiness: Readiness) => void;
}

/** How long a message waits at the most whose hint was lost. A survey reads a few numbers a queue, never the backlog. */
const interval = seconds(10);
/** Every so many polls all settings are loaded where other servers may change them: a few megabytes at the most. */
const pollsPerLoad = 6;
const alarmKey = "survey";

export class SurveyPoll {
  readonly #dependencies: SurveyPollDependencies;
  #running: Promise<void> = Promise.resolve();
  #polls = 0;
  #stopped = false;

  constructor(dependencies: SurveyPollDependencies) {
    this.#dependencies = dependencies;
  }

  /** Polls from one interval after now on. */
  start(): void {
    const { alarms, clock } = this.#dependencies;
    if (this.#stopped) return;
    alarms.set(alarmKey, after(clock.now(), interval), () => {
      this.#running = this.#poll().finally(() => this.start());
    });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#dependencies.alarms.clear(alarmKey);
    await this.#running;
  }

  async #poll(): Promise<void> {
    const { engine, controlPlane, onReading } = this.#dependencies;
    this.#polls += 1;
    const load = engine.capabilities.shared && this.#polls % pollsPerLoad === 0;
    await this.#try(async () => await controlPlane.catchUp({ load }));
    await this.#try(async () => {
      for (const { queue, readiness } of await engine.survey()) {
        if (this.#stopped) return;
        onReading(queue, readiness);
      }
    });
  }

  /** What fails now is done at the next poll. */
  async #try(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#dependencies.logger.warn("survey.failed", { error: String(error) });
    }
  }
}
