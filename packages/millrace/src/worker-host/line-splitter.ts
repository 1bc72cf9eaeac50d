// Cuts a byte stream into lines without ever holding more than a bounded piece of one.

import { StringDecoder } from "node:string_decoder";

export class LineSplitter {
  readonly #decoder = new StringDecoder("utf8");
  readonly #longest: number;
  readonly #onLine: (line: string, isCut: boolean) => void;
  #pending = "";
  /** The rest of a line that was too long is thrown away. */
  #isSkipping = false;

  /** `longest` in UTF-16 units; a longer line is reported once, cut. */
  constructor(longest: number, onLine: (line: string, isCut: boolean) => void) {
    this.#longest = longest;
    this.#onLine = onLine;
  }

  push(bytes: Buffer): void {
    let text = this.#decoder.write(bytes);
    for (;;) {
      const end = text.indexOf("\n");
      const piece = end === -1 ? text : text.slice(0, end);
      this.#take(piece);
      if (end === -1) return;
      if (!this.#isSkipping) this.#onLine(this.#pending, false);
      this.#pending = "";
      this.#isSkipping = false;
      text = text.slice(end + 1);
    }
  }

  /** The stream ended, perhaps in the middle of a line. */
  end(): void {
    if (this.#pending !== "" && !this.#isSkipping) this.#onLine(this.#pending, false);
    this.#pending = "";
  }

  #take(piece: string): void {
    if (this.#isSkipping) return;
    this.#pending += piece;
    if (this.#pending.length <= this.#longest) return;
    this.#onLine(this.#pending.slice(0, this.#longest), true);
    this.#pending = "";
    this.#isSkipping = true;
  }
}
