// How far a long command is: on a terminal one line that changes, elsewhere a line now and then. On stderr, beside the result.

import { bytes } from "./tables.ts";
import type { TextOutput } from "./terminal.ts";

const terminalEveryMs = 100;
const lineEveryMs = 5_000;

export class Progress implements Disposable {
  readonly #output: TextOutput;
  readonly #isTerminal: boolean;
  #lastAt: number;
  #isShown = false;

  constructor(output: TextOutput) {
    this.#output = output;
    this.#isTerminal = output.isTTY === true;
    // Elsewhere than on a terminal what takes no time shows nothing.
    this.#lastAt = this.#isTerminal ? Number.NEGATIVE_INFINITY : performance.now();
  }

  /** `text` is asked for only when it is shown. */
  show(text: () => string): void {
    const now = performance.now();
    if (now - this.#lastAt < (this.#isTerminal ? terminalEveryMs : lineEveryMs)) return;
    this.#lastAt = now;
    this.#output.write(this.#isTerminal ? `\r\u001B[K${text()}` : `${text()}\n`);
    this.#isShown = true;
  }

  /** Takes the line away again. */
  [Symbol.dispose](): void {
    if (this.#isShown && this.#isTerminal) this.#output.write("\r\u001B[K");
  }
}

/** `12.3 MB of 1.2 GB, 1 %`; a total of 0 is not known yet. */
export function bytesDone(done: number, total: number): string {
  if (total === 0) return bytes(done);
  return `${bytes(done)} of ${bytes(total)}, ${Math.floor((100 * done) / total)} %`;
}
