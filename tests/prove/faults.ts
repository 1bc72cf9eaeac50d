// What is done to the server, in which order and when: drawn from the seed. How long each thing takes is up to the machine.

import { setTimeout as delay } from "node:timers/promises";
import { callApi, resultOf } from "./client.ts";
import { within } from "./deadline.ts";
import type { ProvedQueue } from "./deployment.ts";
import type { FaultKind } from "./facts.ts";
import type { Ledger } from "./ledger.ts";
import { SeededRandom } from "./random.ts";
import { killIfThere } from "./server-keeper.ts";
import type { ServerKeeper } from "./server-keeper.ts";

/** One deck is played after the other, each in an order of its own, so that every kind comes often enough. */
const deck: readonly FaultKind[] = [
  ...Array<FaultKind>(7).fill("kill-server"),
  ...Array<FaultKind>(2).fill("kill-starting-server"),
  ...Array<FaultKind>(2).fill("kill-everything"),
  ...Array<FaultKind>(1).fill("kill-paused-server"),
  ...Array<FaultKind>(6).fill("kill-consumer"),
  ...Array<FaultKind>(2).fill("kill-producer"),
  ...Array<FaultKind>(2).fill("pause-server"),
  ...Array<FaultKind>(2).fill("pause-consumer"),
  ...Array<FaultKind>(2).fill("stop-server"),
  ...Array<FaultKind>(1).fill("deploy-consumer"),
  ...Array<FaultKind>(2).fill("change-settings"),
];

/** Kills from which on a run is a long one, with what takes its time. */
export const longRun = 200;

export const isKill = (what: FaultKind): boolean => what.startsWith("kill");

/** The faults of a run with so many kills; the first ones are of different kinds. */
export function planFaults(seed: number, kills: number): FaultKind[] {
  const random = new SeededRandom(seed, "faults");
  const plan: FaultKind[] = [];
  let killed = 0;
  let next = random.shuffled([...new Set(deck)]);
  if (kills >= longRun) next.push("hang-consumer");
  while (killed < kills) {
    for (const what of next) {
      if (killed === kills) break;
      plan.push(what);
      if (isKill(what)) killed += 1;
    }
    next = random.shuffled(deck);
  }
  return plan;
}

export interface FaultsOptions {
  readonly keeper: ServerKeeper;
  readonly ledger: Ledger;
  readonly seed: number;
  readonly plan: readonly FaultKind[];
  /** Deploys the consuming Worker once more. */
  readonly deployConsumer: () => Promise<void>;
  readonly queues: readonly ProvedQueue[];
  readonly onFault: (done: number, what: FaultKind) => void;
}

/** Does it all. The server is ready when it resolves. */
export async function inflict(options: FaultsOptions): Promise<void> {
  const { keeper, ledger, seed, plan, onFault } = options;
  const random = new SeededRandom(seed, "moments");
  for (const [index, what] of plan.entries()) {
    // Any moment: some right after the server or Worker is back, most in full work.
    await delay(random.chance(0.15) ? random.between(0, 100) : random.between(100, 2_000));
    const fault = index + 1;
    ledger.note({ kind: "fault", fault, what, life: keeper.life });
    await inflictOne(what, options, random);
    ledger.note({ kind: "fault-over", fault });
    onFault(fault, what);
  }
}

async function inflictOne(what: FaultKind, options: FaultsOptions, random: SeededRandom): Promise<void> {
  const { keeper } = options;
  switch (what) {
    case "kill-server":
      await keeper.end("SIGKILL");
      await keeper.start();
      return;
    case "kill-starting-server": {
      await keeper.end("SIGKILL");
      const starting = keeper.spawn();
      await Promise.race([delay(random.between(50, 1_200)), starting.ready]);
      await keeper.end("SIGKILL");
      await keeper.start();
      return;
    }
    case "kill-everything":
      await keeper.endEverything();
      await keeper.start();
      return;
    case "kill-paused-server":
      keeper.pause();
      await delay(random.between(200, 1_500));
      await keeper.end("SIGKILL");
      await keeper.start();
      return;
    case "stop-server":
      await keeper.end("SIGTERM");
      await keeper.start();
      return;
    case "pause-server":
      keeper.pause();
      await delay(random.between(2_100, 3_500)); // longer than every pull's lease
      keeper.resume();
      return;
    case "kill-consumer":
      await signalled(keeper.signalWorker("prove-consumer", "SIGKILL"));
      return;
    case "kill-producer":
      await signalled(keeper.signalWorker("prove-producer", "SIGKILL"));
      return;
    case "pause-consumer": {
      const pid = await signalled(keeper.signalWorker("prove-consumer", "SIGSTOP"));
      await delay(random.between(2_100, 3_500));
      killIfThere(pid, "SIGCONT");
      return;
    }
    case "hang-consumer":
      await signalled(keeper.signalWorker("prove-consumer", "SIGSTOP"));
      await signalled(keeper.nextWorker("prove-consumer"));
      return;
    case "deploy-consumer":
      await options.deployConsumer();
      return;
    case "change-settings":
      await changeSettings(options, random);
      return;
    default:
      what satisfies never;
  }
}

/** Leaves alone what the verdict counts with: how often a message is delivered, and where it goes then. */
async function changeSettings({ keeper, queues }: FaultsOptions, random: SeededRandom): Promise<void> {
  const addresses = await keeper.addresses();
  for (const { id, name, consumer } of queues) {
    if (consumer !== "push") continue;
    const pause = async (paused: boolean): Promise<void> => {
      const settings = { delivery_paused: paused };
      resultOf(await callApi(addresses, "PATCH", `/queues/${id}`, { settings }), `pause ${name}: ${paused}`);
    };
    await pause(true);
    const path = `/queues/${id}/consumers`;
    const consumers = resultOf(
      await callApi(addresses, "GET", path),
      `consumers of ${name}`,
    ) as readonly AttachedConsumer[];
    for (const { consumer_id: attached, settings, ...rest } of consumers) {
      const changed = { ...settings, batch_size: random.between(5, 25) };
      const body = { ...rest, settings: changed };
      resultOf(await callApi(addresses, "PUT", `${path}/${attached}`, body), `settings of ${name}`);
    }
    await delay(random.between(0, 500));
    await pause(false);
  }
}

interface AttachedConsumer {
  readonly consumer_id: string;
  readonly settings: Readonly<Record<string, unknown>>;
}

/** A Worker's process may still be on its way back from the last fault. */
const signalled = async (pid: Promise<number>): Promise<number> => await within("a Worker's process", pid);
