// One server over all its runs: started, killed, stopped, frozen, started again over the same store.

import { Broker, ControlPlane, Intake } from "../../src/broker/index.ts";
import type { Delivery } from "../../src/broker/index.ts";
import { isMillraceError, pullHolder, toHex } from "../../src/core/index.ts";
import type { Holder, Logger } from "../../src/core/index.ts";
import { Dice } from "./dice.ts";
import { Facade } from "./facade.ts";
import type { Faults } from "./faults.ts";
import type { History, Mood } from "./history.ts";
import { SimulatedProcess } from "./simulated-process.ts";
import type { Store } from "./store.ts";
import { unexpected, Violation } from "./violation.ts";
import { Workers } from "./workers.ts";
import type { World } from "./world.ts";

export interface ServerDependencies {
  readonly world: World;
  readonly store: Store;
  readonly faults: Faults;
  readonly history: History;
  readonly mood: () => Mood;
  readonly onRunning: (delivery: Delivery, change: 1 | -1) => void;
  readonly log: (line: string) => void;
  /** No server is alive. */
  readonly isAlone: () => boolean;
  /** Told of every event a server logs. */
  readonly onEvent: (event: string) => void;
}

/** One run of the server, from its start to its end. */
export interface Run {
  readonly process: SimulatedProcess;
  readonly facade: Facade;
  readonly workers: Workers;
  readonly holder: Holder;
  controlPlane: ControlPlane | undefined;
  intake: Intake | undefined;
  broker: Broker | undefined;
  stopping: Promise<void> | undefined;
  /** Clients that wait for an answer: the API stops before the broker does, but here they may come at any time. */
  openRequests: number;
}

/** How soon the system starts a server again that did not come up. */
const startAgainMs = 500;

export class SimulatedServer {
  readonly index: number;
  readonly #dependencies: ServerDependencies;
  #run: Run | undefined;
  #runs = 0;
  #startDue = false;

  constructor(index: number, dependencies: ServerDependencies) {
    this.index = index;
    this.#dependencies = dependencies;
  }

  /** The run that takes requests; `undefined` while there is none. */
  get run(): (Run & { broker: Broker; controlPlane: ControlPlane; intake: Intake }) | undefined {
    const run = this.#run;
    return run?.broker !== undefined && run.process.alive
      ? (run as Run & { broker: Broker; controlPlane: ControlPlane; intake: Intake })
      : undefined;
  }

  get current(): Run | undefined {
    return this.#run;
  }

  holds(holder: Holder): boolean {
    return this.#run?.holder === holder && this.#run.process.alive;
  }

  start(): void {
    const { world, store, faults, history, mood, onRunning, isAlone } = this.#dependencies;
    if (this.#run?.process.alive === true) return;
    this.#startDue = false;
    if (isAlone()) world.firstServerStarts();
    this.#runs += 1;
    const name = `server ${this.index + 1}, run ${this.#runs}`;
    const process = new SimulatedProcess(world, name);
    const shared = history.profile.servers > 1;
    const random = new Dice(history.seed, `ids of ${name}`);
    const holder = `server:${toHex(random.bytes(16))}` as Holder;
    const facade = new Facade({
      world,
      store,
      process,
      holder,
      faults,
      dice: new Dice(history.seed, `store of ${name}`),
      shared,
      inOrder: history.profile.inOrder,
      isGone: (other) => other !== pullHolder && !this.holds(other) && !shared,
    });
    const workers = new Workers({
      world,
      ledger: store.ledger,
      process,
      profile: history.profile,
      seed: history.seed,
      mood,
      onRunning,
    });
    const run: Run = {
      process,
      facade,
      workers,
      holder,
      controlPlane: undefined,
      intake: undefined,
      broker: undefined,
      stopping: undefined,
      openRequests: 0,
    };
    this.#run = run;
    this.#open(run, random).catch((error: unknown) => {
      if (!isMillraceError(error)) world.fail(unexpected(error));
      process.kill();
      this.startIn(startAgainMs);
    });
  }

  startIn(ms: number): void {
    if (this.#startDue) return;
    this.#startDue = true;
    this.#dependencies.world.post(ms, () => {
      if (this.#startDue) this.start();
    });
  }

  crash(downMs: number): void {
    this.#dependencies.log(`server ${this.index + 1} is killed`);
    this.#run?.process.kill();
    this.startIn(downMs);
  }

  /** A stop as on SIGTERM: drains, gives up after a while, and ends. */
  stop(giveUpMs: number, downMs: number): void {
    const run = this.run;
    if (run === undefined || run.stopping !== undefined) return;
    const giveUp = new AbortController();
    run.process.post(giveUpMs, () => giveUp.abort());
    run.process.interrupt();
    run.stopping = this.#end(run, giveUp.signal, downMs);
  }

  async #end(run: NonNullable<SimulatedServer["run"]>, giveUp: AbortSignal, downMs: number): Promise<void> {
    const { world } = this.#dependencies;
    try {
      await run.broker.stop(giveUp);
    } catch (error) {
      world.fail(unexpected(error));
      return;
    }
    run.controlPlane[Symbol.dispose]();
    const left = run.process.pendingTimers;
    if (left > 0 && run.openRequests === 0)
      world.fail(new Violation("stop", `${run.process.name} stopped and left ${left} timers`));
    const busy = run.facade.openLeases + run.workers.running;
    if (busy > 0)
      world.fail(new Violation("stop", `${run.process.name} stopped with ${busy} leases or handlers under way`));
    run.process.kill();
    this.startIn(downMs);
  }

  async #open(run: Run, random: Dice): Promise<void> {
    const { world, store, history } = this.#dependencies;
    const { facade, process, workers, holder } = run;
    const logger = this.#logger(process);
    const controlPlane = await ControlPlane.open(facade.catalog, world, random);
    const dependencies = { engine: facade, clock: world, random, logger, catalog: () => controlPlane.view };
    const intake = new Intake(dependencies);
    const broker = await Broker.start({
      engine: facade,
      controlPlane,
      target: workers,
      clock: world,
      timers: process.timers,
      logger,
      holder,
    });
    if (history.profile.servers === 1) {
      for (const { holder: leftOver, message } of store.ledger.leases.values()) {
        const forgotten = leftOver.startsWith("server:") && leftOver !== holder && message.lease?.holder === leftOver;
        store.ledger.claim(!forgotten, "recovery", () => `${process.name} started and left it leased`, message);
      }
    }
    Object.assign(run, { controlPlane, intake, broker });
  }

  #logger(process: SimulatedProcess): Logger {
    const { log, onEvent } = this.#dependencies;
    const write = (event: string, fields: unknown = {}): void => {
      onEvent(event);
      log(`${process.name}: ${event} ${JSON.stringify(fields)}`);
    };
    return { debug: write, info: write, warn: write, error: write };
  }
}
