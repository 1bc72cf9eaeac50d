// One run of a server's process: what happens inside it happens only while it is alive and not stopped by the system.

import type { EpochMs, Timers } from "../../src/core/index.ts";
import { timersOn } from "../../src/system.ts";
import type { World } from "./world.ts";

export class SimulatedProcess {
  readonly name: string;
  readonly #world: World;
  readonly #waiting: (() => void)[] = [];
  /** Timers of this process that have neither rung nor been cancelled. */
  readonly #timers = new Set<object>();
  #alive = true;
  #frozen = false;
  /** Things to happen at a step of the store, soonest first. */
  #armed: { steps: number; readonly run: () => void }[] = [];
  /** When something went wrong for this process the last time; what it forgot before then is excused. */
  #troubledAt = Number.NEGATIVE_INFINITY;
  /** When it was stopped, or stood still, the last time. */
  #interruptedAt = Number.NEGATIVE_INFINITY;

  constructor(world: World, name: string) {
    this.#world = world;
    this.name = name;
  }

  get alive(): boolean {
    return this.#alive;
  }

  get frozen(): boolean {
    return this.#frozen;
  }

  get pendingTimers(): number {
    return this.#timers.size;
  }

  /** Runs something of this process now, when it goes on, or never. */
  enter(run: () => void): void {
    if (!this.#alive) return;
    if (this.#frozen) this.#waiting.push(run);
    else run();
  }

  /** Runs something of this process in `delayMs`. */
  post(delayMs: number, run: () => void): { cancel(): void } {
    return this.#world.post(delayMs, () => this.enter(run));
  }

  /** kill -9. */
  kill(): void {
    this.interrupt();
    this.#alive = false;
    this.#waiting.length = 0;
    this.#armed = [];
  }

  /** SIGSTOP and, after `ms`, SIGCONT. */
  freeze(ms: number): void {
    if (!this.#alive || this.#frozen) return;
    this.interrupt();
    this.#frozen = true;
    this.#world.frozenMs += ms;
    this.#world.post(ms, () => this.thaw());
  }

  thaw(): void {
    if (!this.#frozen) return;
    this.interrupt();
    this.#frozen = false;
    for (const run of this.#waiting.splice(0)) this.#world.post(0, () => this.enter(run));
  }

  /** Something failed for this process. */
  trouble(): void {
    this.#troubledAt = this.#world.mono;
  }

  /** It is killed, told to stop, or stands still. */
  interrupt(): void {
    this.trouble();
    this.#interruptedAt = this.#world.mono;
  }

  interruptedSince(mono: number): boolean {
    return !this.#alive || this.#frozen || this.#interruptedAt >= mono;
  }

  troubledSince(mono: number): boolean {
    return !this.#alive || this.#frozen || this.#troubledAt >= mono;
  }

  /** Lets something happen at the `steps`-th step of the store from now; 0: at once. */
  arm(steps: number, run: () => void): void {
    if (steps === 0) return run();
    this.#armed.push({ steps, run });
  }

  disarm(): void {
    this.#armed = [];
  }

  /** The store does or answers something for this process. */
  step(): void {
    for (const armed of this.#armed) armed.steps -= 1;
    const due = this.#armed.filter(({ steps }) => steps <= 0);
    if (due.length === 0) return;
    this.#armed = this.#armed.filter(({ steps }) => steps > 0);
    for (const { run } of due) run();
  }

  /** Timers as the system has them, on sleeps of this process. */
  get timers(): Timers {
    const timers = timersOn(this.#world, (span, wake) => this.post(Math.max(1, span), wake));
    return {
      at: (at: EpochMs, callback: () => void): { cancel(): void } => {
        const key = {};
        this.#timers.add(key);
        const timer = timers.at(at, () => {
          if (this.#timers.delete(key)) callback();
        });
        return {
          cancel: () => {
            this.#timers.delete(key);
            timer.cancel();
          },
        };
      },
    };
  }
}
