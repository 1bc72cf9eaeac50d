// Gathers the bodies of a group's answers into the one buffer that travels back with them.

import type { Slice } from "./protocol.ts";

export class AnswerBytes {
  readonly #parts: Uint8Array[] = [];
  #length = 0;

  /** Where the bytes will stand in the buffer. They must not change before `join`. */
  add(bytes: Uint8Array): Slice {
    const from = this.#length;
    this.#parts.push(bytes);
    this.#length += bytes.length;
    return { from, to: this.#length };
  }

  /** Where it stands, to come back to with `reset`. */
  mark(): { readonly parts: number; readonly length: number } {
    return { parts: this.#parts.length, length: this.#length };
  }

  /** Forgets what was added since the mark. */
  reset(mark: { readonly parts: number; readonly length: number }): void {
    this.#parts.length = mark.parts;
    this.#length = mark.length;
  }

  /** The buffer; `undefined` when nothing was added. */
  join(): Uint8Array | undefined {
    if (this.#parts.length === 0) return undefined;
    const joined = new Uint8Array(this.#length);
    let at = 0;
    for (const part of this.#parts) {
      joined.set(part, at);
      at += part.length;
    }
    return joined;
  }
}
