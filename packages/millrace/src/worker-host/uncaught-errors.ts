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
  readonly timer: NodeJS.Timeout;
}

/** A failed delivery waiting for its exception to be read. */
interface Claim {
  error: HandlerError | undefined;
}

/** A fetch's failure follows in the same breath, a delivery's result a little later. */
const claimWindowMs = 250;
const mostCandidates = 32;

export class UncaughtErrors {
  readonly #report: (error: UncaughtError) => void;
  #candidates: Candidate[] = [];
  /** Failed deliveries whose exception has not been read yet. */
  readonly #waiting: Claim[] = [];

  /** Every exception is reported exactly once. */
  constructor(report: (error: UncaughtError) => void) {
    this.#report = report;
  }

  add(error: HandlerError): void {
    const waiting = this.#waiting.shift();
    if (waiting !== undefined) {
      waiting.error = error;
      return;
    }
    const timer = setTimeout(() => this.#drop(candidate, "unknown"), claimWindowMs);
    timer.unref();
    const candidate: Candidate = { error, timer };
    this.#candidates.push(candidate);
    const oldest = this.#candidates[0];
    if (this.#candidates.length > mostCandidates && oldest !== undefined) this.#drop(oldest, "unknown");
  }

  /** A fetch failed with this text. */
  claimForFetch(text: string): void {
    const found = this.#candidates.findLast(({ error }) => text === textOf(error));
    if (found === undefined) this.#report({ ...errorOf(text), handler: "fetch" });
    else this.#drop(found, "fetch");
  }

  /**
   * A delivery failed: its exception, once it was read. It was written before the answer, but through another pipe: a few
   * turns of the event loop bring it. `undefined` when there is none.
   */
  async claimForQueue(): Promise<HandlerError | undefined> {
    await turn(); // lets a fetch that failed at the same moment claim its own first
    const known = this.#candidates.at(-1);
    if (known !== undefined) {
      this.#drop(known, "queue");
      return known.error;
    }
    const claim: Claim = { error: undefined };
    this.#waiting.push(claim);
    for (let turns = 0; claim.error === undefined && turns < 20; turns += 1) await turn();
    const index = this.#waiting.indexOf(claim);
    if (index !== -1) this.#waiting.splice(index, 1);
    if (claim.error !== undefined) this.#report({ ...claim.error, handler: "queue" });
    return claim.error;
  }

  /** The process ended: what is left is reported. */
  flush(): void {
    // Each drop makes a new list; this loop keeps to the old one.
    for (const candidate of this.#candidates) this.#drop(candidate, "unknown");
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
