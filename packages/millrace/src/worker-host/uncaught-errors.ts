// Which uncaught exception belongs to which invocation. workerd writes exceptions to its output without saying whose they are;
// a failed delivery takes the newest one that is still unclaimed, a failed fetch names its own right after. What nobody
// claims (a rejected promise in the background) is reported as the Worker's.

import { setImmediate as turn } from "node:timers/promises";
import type { HandlerError } from "../broker/index.ts";

export interface UncaughtError extends HandlerError {
  readonly handler: "fetch" | "queue" | "unknown";
}

interface Candidate {
  readonly error: HandlerError;
  /** When it was read, by `performance.now()`. */
  readonly at: number;
  readonly timer: NodeJS.Timeout;
}

/** A fetch's failure follows in the same breath, a delivery's result a little later. */
const claimWindowMs = 250;
const mostCandidates = 32;
/** Until everything written before the answer has been read, and until it is given up. */
const fewestTurns = 3;
const mostTurns = 20;

export class UncaughtErrors {
  readonly #report: (error: UncaughtError) => void;
  #candidates: Candidate[] = [];
  #restated: { readonly error: HandlerError; readonly at: number } | undefined;

  /** Every exception is reported exactly once. */
  constructor(report: (error: UncaughtError) => void) {
    this.#report = report;
  }

  add(error: HandlerError): void {
    const timer = setTimeout(() => this.#drop(candidate, "unknown"), claimWindowMs);
    timer.unref();
    const candidate: Candidate = { error, at: performance.now(), timer };
    this.#candidates.push(candidate);
    const oldest = this.#candidates[0];
    if (this.#candidates.length > mostCandidates && oldest !== undefined) this.#drop(oldest, "unknown");
  }

  /** An exception that was probably told by `add` already; it only stands in where that never came. */
  restate(error: HandlerError): void {
    this.#restated = { error, at: performance.now() };
  }

  /** A fetch failed with this text, where an error with a name of its own comes as `Error: Name: message`. */
  claimForFetch(text: string): void {
    const found = this.#candidates.findLast(
      ({ error }) => text === textOf(error) || text === `Error: ${textOf(error)}`,
    );
    if (found === undefined) this.#report({ ...errorOf(text), handler: "fetch" });
    else this.#drop(found, "fetch");
  }

  /**
   * A delivery that began at `since` (`performance.now()`) failed: its exception, once it was read. It was written before the
   * answer, but through another pipe: a few turns of the event loop bring it. `undefined` when there is none.
   */
  async claimForQueue(since: number): Promise<HandlerError | undefined> {
    for (let turns = 1; turns <= mostTurns; turns += 1) {
      await turn();
      if (turns < fewestTurns) continue;
      const found = this.#candidates.findLast(({ at }) => at >= since);
      if (found === undefined) continue;
      this.#drop(found, "queue");
      return found.error;
    }
    // Among deliveries that fail at the same time another may have taken this one's: then its own is left over.
    const left = this.#candidates.at(-1);
    if (left !== undefined) {
      this.#drop(left, "queue");
      return left.error;
    }
    const restated = this.#takeRestated(since);
    if (restated !== undefined) this.#report({ ...restated, handler: "queue" });
    return restated;
  }

  /** The process ended: what is left is reported. */
  flush(): void {
    // Each drop makes a new list; this loop keeps to the old one.
    for (const candidate of this.#candidates) this.#drop(candidate, "unknown");
  }

  #takeRestated(since: number): HandlerError | undefined {
    const restated = this.#restated;
    this.#restated = undefined;
    return restated !== undefined && restated.at >= since ? restated.error : undefined;
  }

  #drop(candidate: Candidate, handler: UncaughtError["handler"]): void {
    if (!this.#candidates.includes(candidate)) return;
    clearTimeout(candidate.timer);
    this.#candidates = this.#candidates.filter((other) => other !== candidate);
    this.#report({ ...candidate.error, handler });
  }
}

const textOf = ({ name, message }: HandlerError): string => `${name}: ${message}`;

function errorOf(text: string): HandlerError {
  const [, name = "Error", message = text] = /^(\w+): ([\s\S]*)$/.exec(text) ?? [];
  return { name, message, stack: undefined };
}
