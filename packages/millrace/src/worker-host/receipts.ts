// Which batches a process's dispatcher has passed on to the queue handler.
//
// It says so by a line on the process's output, which workerd writes before anything else happens: so it has left the process even if
// the handler never lets the event loop turn again or ends the process. A receipt as the beginning of the answer cost three pieces of
// a stream, until it had surely gone out, and these took a third of the processor time that a batch of ten costs workerd.

import { randomBytes } from "node:crypto";

export class Receipts {
  /** How each receipt begins. Known to the dispatcher alone: a Worker writes to the same output. */
  readonly word = `${randomBytes(24).toString("base64url")} `;
  /** Batches that were handed over and have not come back, by number: whether there is a receipt. */
  readonly #open = new Map<number, boolean>();
  #last = 0;

  /** The number of a batch that is about to be handed over. */
  expect(): number {
    this.#last += 1;
    this.#open.set(this.#last, false);
    return this.#last;
  }

  /** Whether the text of a line of output is a receipt. */
  take(text: string): boolean {
    if (!text.startsWith(this.word)) return false;
    const number = Number(text.slice(this.word.length));
    if (this.#open.has(number)) this.#open.set(number, true);
    return true;
  }

  has(number: number): boolean {
    return this.#open.get(number) === true;
  }

  /** The batch has come back. */
  forget(number: number): void {
    this.#open.delete(number);
  }
}
