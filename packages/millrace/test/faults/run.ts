// Runs the scripted history on a store and on the oracle side by side, and says where they disagree. A step that fails on the store
// must have done nothing; or, where it says that its outcome is unknown, all or nothing, now or when the store is opened again.

import { inspect, isDeepStrictEqual } from "node:util";
import { isMillraceError } from "../../src/core/index.ts";
import type { ErrorCode, MessageId, QueueId, StorageEngine } from "../../src/core/index.ts";
import type { Tuning } from "../../src/engines/sqlite/ledger.ts";
import { ManualClock } from "../engines/harness.ts";
import { everythingSeen, history } from "./history.ts";
import type { Seen, Side, Step, Upkeep } from "./history.ts";
import { openInProcess } from "./in-process-link.ts";
import type { InProcessEngine } from "./in-process-link.ts";
import { Oracle } from "./oracle.ts";
import type { Doing } from "./oracle.ts";

/** Folds and checkpoints often, so that histories need not be long. */
export const tuning: Tuning = { foldBytes: 700, runsInMemory: 2, partsKept: 1, checkpointPages: 60 };

export interface StepOutcome {
  readonly step: Step;
  /** `undefined`: it succeeded. */
  readonly error: Error | undefined;
}

/** How a run looks at the store without being in the way of what fails. */
export interface Look {
  /** After every step, not only after those that failed. */
  readonly always: boolean;
  aside<T>(body: () => Promise<T>): Promise<T>;
}

/** A history under way. */
export class HistoryRun {
  readonly clock: ManualClock;
  readonly steps = history();
  store: InProcessEngine;
  /** The store ended by itself at least once. */
  gaveUp = false;
  readonly #folder: string;
  readonly #cachePages: number | undefined;
  readonly #subject: Side;
  #oracle: Oracle;
  /** Steps whose outcome is unknown: the store goes on without them, and may have one of them when it is opened again. */
  #undecided: Doing[] = [];
  #next = 0;

  private constructor(folder: string, clock: ManualClock, oracle: Oracle, cachePages: number | undefined) {
    this.#folder = folder;
    this.#cachePages = cachePages;
    this.clock = clock;
    this.store = openInProcess(folder, clock, tuning, cachePages);
    this.#subject = { engine: this.store.engine, hand: new Map() };
    this.#oracle = oracle;
  }

  /** Throws what opening the store throws. */
  static async open(folder: string, cachePages?: number): Promise<HistoryRun> {
    return new HistoryRun(folder, new ManualClock(), await Oracle.make(), cachePages);
  }

  get isOver(): boolean {
    return this.#next >= this.steps.length;
  }

  /** Does the next step; throws when what is seen afterwards is not what must be. */
  async next(look: Look): Promise<StepOutcome> {
    const step = this.steps[this.#next];
    if (step === undefined) throw new Error("the history is over");
    this.#next += 1;
    this.clock.advance(step.afterMs ?? 0);
    const doing: Doing = { step, held: step.about === undefined ? [] : this.#held(step.about), at: this.clock.now() };
    let result: unknown;
    let error: Error | undefined;
    try {
      const upkeep = async (_side: Side, work: Upkeep): Promise<void> => await this.#upkeep(work);
      result = await step.run(this.#subject, { clock: this.clock, upkeep }, doing.held);
    } catch (thrown) {
      error = thrown instanceof Error ? thrown : new Error("no error was thrown", { cause: thrown });
    }
    await look.aside(async () => {
      if (error === undefined) await this.#succeeded(doing, result, look.always);
      else await this.#failed(doing, error);
    });
    return { step, error };
  }

  /** Opens the store again. Whoever calls has closed it. */
  reopen(): void {
    this.store = openInProcess(this.#folder, this.clock, tuning, this.#cachePages);
    this.#subject.engine = this.store.engine;
  }

  /** Ends like a server: what fails then is told, and its files are closed all the same. */
  async close(): Promise<void> {
    try {
      await this.store.engine[Symbol.asyncDispose]();
    } finally {
      if (this.store.database.isOpen) this.store.database.close();
    }
  }

  /** Throws when not all there is to see of the store is what must be. */
  async assertSame(when: string): Promise<void> {
    const difference = await this.#difference(this.store.engine);
    if (difference !== undefined) throw new Error(`${when}: ${difference}`);
  }

  /** The same of a store that was opened as the end of the process would have left it: of the undecided, one may have happened. */
  async assertSameOrUndecided(engine: StorageEngine, when: string): Promise<void> {
    const difference = await this.#difference(engine);
    if (difference === undefined || (await this.#explanation(engine)) !== undefined) return;
    throw new Error(`${when}: ${difference}`);
  }

  /** What is seen instead should the store, opened again, have one of the undecided. */
  async seenOtherwise(): Promise<readonly Seen[]> {
    const others = await Promise.all(this.#undecided.map(async (undecided) => await this.#oracle.with(undecided)));
    return await Promise.all(others.map(async (other) => await other.seen(this.clock.now())));
  }

  async #succeeded(doing: Doing, result: unknown, looks: boolean): Promise<void> {
    const { name } = doing.step;
    const before = this.#undecided.length === 0 ? undefined : await this.#oracle.seen(this.clock.now());
    const expected = await this.#oracle.follow(doing);
    if (!isDeepStrictEqual(result, expected))
      throw new Error(`${name} answered ${inspect(result)} instead of ${inspect(expected)}`);
    if (before !== undefined) {
      await this.#decide();
      // What was stored since stands where the undecided would have stood.
      if (!isDeepStrictEqual(before, await this.#oracle.seen(this.clock.now()))) this.#undecided = [];
    }
    if (looks) await this.assertSame(`after ${name}`);
  }

  async #failed(doing: Doing, error: unknown): Promise<void> {
    const { name } = doing.step;
    if (isMillraceError(error, "QUEUE_NOT_FOUND")) {
      // For want of a queue that an earlier failure did not make.
      const refused: unknown = await this.#oracle.follow(doing).catch((thrown: unknown) => thrown);
      if (codeOf(refused) !== "QUEUE_NOT_FOUND") throw new Error(`${name} found no queue`, { cause: error });
      return;
    }
    if (this.store.broken !== undefined) {
      // A server ends then and is started again.
      this.gaveUp = true;
      this.store.database.close();
    }
    if (!this.store.database.isOpen) this.reopen();
    if (isMillraceError(error, "UNKNOWN_OUTCOME")) this.#undecided.push(doing);
    await this.#decide();
    await this.assertSame(`${name} failed (${String(error)}), and changed something`);
  }

  /** Where the store is as if one of the undecided had happened, it has. */
  async #decide(): Promise<void> {
    if (this.#undecided.length === 0 || (await this.#difference(this.store.engine)) === undefined) return;
    const explanation = await this.#explanation(this.store.engine);
    if (explanation === undefined) return;
    this.#oracle = explanation;
    this.#undecided = [];
  }

  async #explanation(engine: StorageEngine): Promise<Oracle | undefined> {
    const found = await everythingSeen(engine);
    for (const undecided of this.#undecided) {
      const other = await this.#oracle.with(undecided);
      if (isDeepStrictEqual(await other.seen(this.clock.now()), found)) return other;
    }
    return undefined;
  }

  #held(queue: QueueId): readonly MessageId[] {
    return this.#oracle.held(queue).filter((id) => this.#subject.hand.has(id));
  }

  async #upkeep(work: Upkeep): Promise<void> {
    if (work === "tidyUp") return this.store.tidyUp();
    await this.close();
    this.reopen();
  }

  async #difference(engine: StorageEngine): Promise<string | undefined> {
    return differenceOf(await everythingSeen(engine), await this.#oracle.seen(this.clock.now()));
  }
}

function differenceOf(found: Seen, expected: Seen): string | undefined {
  for (const [name, value] of Object.entries(expected)) {
    if (isDeepStrictEqual(found[name], value)) continue;
    const [is, should] = [found[name], value].map((each) => inspect(each, { depth: 5, breakLength: 160 }));
    return `${name} is ${is}\ninstead of ${should}`;
  }
  return undefined;
}

export function codeOf(error: unknown): ErrorCode | "none" | "upkeep" {
  if (error === undefined) return "none";
  return isMillraceError(error) ? error.code : "upkeep"; // SQLite's own, which only upkeep throws
}
