// Copies the open database into another file, page by page, while the store goes on working. SQLite takes over into the copy what is
// written to pages it has copied already, so the copy is as of the commit before its last step.
//
// A step must not meet an open transaction, so steps and the store's work take turns: the store works only within the call that
// ends a step. It works only when the copy has come nearer to its end since it worked last; otherwise a queue that grows faster
// than a step copies would never be copied. With steps of 1 MB a group of requests waits for 1 to 4 ms; larger ones make nothing
// faster (1.2 GB under load: 5 s).
//
// States: not started (asked for within a transaction that is still open), `copying`, `done`, `failed`.

import { backup } from "node:sqlite";
import type { DatabaseSync } from "node:sqlite";
import { MillraceError } from "../../core/index.ts";
import type { CopyState, Failure } from "./protocol.ts";
import { sqliteErrorCode } from "./sql.ts";

/** Pages copied in one step. */
const stepPages = 256;

const givenUp: Failure = { code: "UNAVAILABLE", detail: "The backup was given up" };

export class LiveCopy {
  readonly #database: DatabaseSync;
  readonly #target: string;
  #state: CopyState = { kind: "copying", copiedPages: 0, totalPages: 0 };
  #isStarted = false;
  #isAborted = false;
  #isInTurn = false;
  /** The store's turn comes when no more pages than this are left. */
  #goal = Number.POSITIVE_INFINITY;

  /** `target` is overwritten. */
  constructor(database: DatabaseSync, target: string) {
    this.#database = database;
    this.#target = target;
  }

  get state(): CopyState {
    return this.#state;
  }

  /** Whether the store has to wait for its turn. */
  get holdsStore(): boolean {
    return this.#isStarted && this.#state.kind === "copying" && !this.#isInTurn;
  }

  /**
   * Begins to copy; no transaction may be open. `work` is called whenever it is the store's turn, and answers whether it did
   * anything; `ended` once all is over. May be called repeatedly; the first call counts.
   */
  start(work: () => boolean, ended: () => void): void {
    if (this.#isStarted) return;
    this.#isStarted = true;
    backup(this.#database, this.#target, { rate: stepPages, progress: (step) => this.#stepped(step, work) })
      .then(
        () => (this.#state = { kind: "done" }),
        (error: unknown) => (this.#state = { kind: "failed", failure: failureOf(error) }),
      )
      .then(ended, ended);
  }

  /** Ends it early, after the step under way. */
  abort(): void {
    this.#isAborted = true;
    if (!this.#isStarted) this.#state = { kind: "failed", failure: givenUp };
  }

  #stepped(
    { totalPages, remainingPages }: { readonly totalPages: number; readonly remainingPages: number },
    work: () => boolean,
  ): void {
    this.#state = { kind: "copying", copiedPages: totalPages - remainingPages, totalPages };
    if (remainingPages <= this.#goal) {
      this.#isInTurn = true;
      if (work()) this.#goal = remainingPages - stepPages;
      this.#isInTurn = false;
    }
    if (this.#isAborted) throw new MillraceError(givenUp.code, givenUp.detail); // ends the backup, and rejects its promise
  }
}

function failureOf(error: unknown): Failure {
  if (error instanceof MillraceError) return { code: error.code, detail: error.detail };
  const detail = `The backup cannot be written: ${error instanceof Error ? error.message : String(error)}`;
  return { code: sqliteErrorCode(error) ?? "INTERNAL", detail };
}
