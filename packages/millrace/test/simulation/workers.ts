// The Workers of one server: handlers that take their time, decide this and that, throw, die with their process, or are never reached.

import { milliseconds } from "../../src/core/index.ts";
import type { DeliveryResult, WorkerName } from "../../src/core/index.ts";
import type { Delivery, DeliveryOutcome, PushTarget } from "../../src/broker/index.ts";
import { Dice } from "./dice.ts";
import type { Mood, Profile } from "./history.ts";
import type { Ledger } from "./ledger.ts";
import { textOf } from "./tracked.ts";
import type { SimulatedProcess } from "./simulated-process.ts";
import type { World } from "./world.ts";

export const worker = "app" as WorkerName;

export interface WorkersDependencies {
  readonly world: World;
  readonly ledger: Ledger;
  readonly process: SimulatedProcess;
  readonly profile: Profile;
  readonly seed: number;
  readonly mood: () => Mood;
  /** Told of every delivery that reaches a handler, and its end. */
  readonly onRunning: (delivery: Delivery, change: 1 | -1) => void;
}

const wallTimeMs = 900_000;

export class Workers implements PushTarget {
  readonly #dependencies: WorkersDependencies;
  readonly #listeners = new Set<(worker: WorkerName) => void>();
  /** What ends each handler that runs, when its process dies. */
  readonly #running = new Set<() => void>();
  #ready = true;

  constructor(dependencies: WorkersDependencies) {
    this.#dependencies = dependencies;
  }

  get running(): number {
    return this.#running.size;
  }

  isReady(): boolean {
    return this.#ready;
  }

  setReady(ready: boolean): void {
    this.#ready = ready;
    if (!ready) return;
    this.#dependencies.process.enter(() => {
      for (const listener of this.#listeners) listener(worker);
    });
  }

  onReady(listener: (worker: WorkerName) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** The Workers' process dies, with all handlers in it. */
  kill(): void {
    for (const end of this.#running) end();
  }

  async deliver(_worker: WorkerName, delivery: Delivery, signal: AbortSignal): Promise<DeliveryOutcome> {
    const { world, ledger, process, profile, seed, mood, onRunning } = this.#dependencies;
    const [first] = delivery.messages;
    const name = first === undefined ? "none" : `${textOf(first.body)}#${first.attempts}@${world.mono}`;
    const dice = new Dice(seed, `handler ${name}`);
    return await new Promise<DeliveryOutcome>((resolve) => {
      const luck = world.calm ? 1 : dice.next();
      if (luck < profile.notDelivered || signal.aborted || !this.#ready) {
        this.#say(delivery, () => (signal.aborted ? { kind: "cancelled" } : { kind: "notDelivered" }));
        const outcome: DeliveryOutcome = signal.aborted
          ? { kind: "cancelled" }
          : { kind: "notDelivered", detail: "connection refused" };
        process.post(dice.between(0, 5), () => resolve(outcome));
        return;
      }
      ledger.handed(process, delivery.messages);
      onRunning(delivery, 1);
      let over = false;
      const end = (outcome: DeliveryOutcome): void => {
        if (over) return;
        over = true;
        this.#running.delete(die);
        if (process.alive) onRunning(delivery, -1);
        signal.removeEventListener("abort", cancel);
        if (outcome.kind === "completed") this.#sayResult(delivery, outcome.result);
        else if (outcome.kind === "cancelled") this.#say(delivery, () => ({ kind: "cancelled" }));
        else this.#say(delivery, () => ({ kind: "retry", delayMs: undefined }));
        process.post(dice.between(0, 2), () => resolve(outcome));
      };
      const die = (): void => end({ kind: "died", detail: "killed" });
      const cancel = (): void => end({ kind: "cancelled" });
      this.#running.add(die);
      signal.addEventListener("abort", cancel, { once: true });
      const fate = luck - profile.notDelivered;
      const slow = world.calm ? 5 : profile.handlerMs;
      if (fate < profile.timedOut && !world.calm) {
        world.post(wallTimeMs, () => end({ kind: "timedOut", detail: "15 minutes" }));
      } else if (fate < profile.timedOut + profile.died && !world.calm) {
        world.post(dice.between(0, slow), die);
      } else {
        world.post(dice.between(0, slow), () => end(resultOf(dice, delivery, world.calm ? "well" : mood())));
      }
    });
  }

  #say(delivery: Delivery, of: () => Parameters<Ledger["says"]>[1]): void {
    for (const { lease } of delivery.messages) this.#dependencies.ledger.says(lease, of());
  }

  /** What the result means for each message, by the contract's six steps (queues-contract.md section 3.2). */
  #sayResult({ messages }: Delivery, result: DeliveryResult): void {
    const { ledger } = this.#dependencies;
    for (const { id, lease } of messages) {
      const own = result.retryMessages.findLast((retry) => retry.id === id);
      const { retry, delay } = result.retryBatch;
      if (result.explicitAcks.includes(id)) ledger.says(lease, { kind: "ack" });
      else if (own !== undefined) ledger.says(lease, { kind: "retry", delayMs: own.delay ?? delay });
      else if (result.ackAll) ledger.says(lease, { kind: "ack" });
      else if (retry) ledger.says(lease, { kind: "retry", delayMs: delay });
      else if (result.outcome === "ok") ledger.says(lease, { kind: "ack" });
      else ledger.says(lease, { kind: "retry", delayMs: undefined });
    }
  }
}

function resultOf(dice: Dice, { messages }: Delivery, mood: Mood): DeliveryOutcome {
  const luck = dice.next();
  const fails = mood === "failing" ? luck < 0.9 : mood === "mixed" && luck < 0.3;
  const decides = mood === "well" ? 0 : 0.3;
  const delay = (): ReturnType<typeof milliseconds> | undefined =>
    dice.chance(0.5) ? undefined : milliseconds(dice.between(0, 30) * 1_000);
  const result: DeliveryResult = {
    outcome: fails ? dice.pick(["exception", "exceededCpu", "internalError"]) : "ok",
    ackAll: dice.chance(decides / 4),
    retryBatch: dice.chance(decides / 4) ? { retry: true, delay: delay() } : { retry: false, delay: undefined },
    explicitAcks: messages.filter(() => dice.chance(decides)).map(({ id }) => id),
    retryMessages: messages.filter(() => dice.chance(decides)).map(({ id }) => ({ id, delay: delay() })),
  };
  return {
    kind: "completed",
    result,
    error: fails ? { name: "Error", message: "mail is down", stack: undefined } : undefined,
  };
}
