// Memory that both threads see, in which sends travel to the store thread: written once, where they are read. With buffers that
// change hands instead, V8 looks for garbage twice as often under load, because it counts their bytes.
//
// Places are given out one behind the other and given back in the same order; a place never goes over the end.

export class FrameRing {
  readonly bytes: Buffer;
  /** Where the next place begins, and where the oldest one in use does. */
  #next = 0;
  #oldest = 0;
  /** Sizes of the places in use, oldest first; a gap at the end belongs to the place before it. */
  readonly #sizes: number[] = [];
  #used = 0;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  /** Where `size` bytes may be written; `undefined`: there is no room until others are given back. */
  take(size: number): number | undefined {
    const { length } = this.bytes;
    if (this.#used === 0) this.#next = this.#oldest = 0; // stays in few pages while little is under way
    const isWrapped = this.#used > 0 && this.#next <= this.#oldest;
    const room = (isWrapped ? this.#oldest : length) - this.#next;
    if (size > room) {
      if (isWrapped || size > this.#oldest || this.#used === 0) return undefined;
      this.#sizes[this.#sizes.length - 1] = (this.#sizes.at(-1) ?? 0) + room;
      this.#used += room;
      this.#next = 0;
    }
    const at = this.#next;
    this.#sizes.push(size);
    this.#used += size;
    this.#next = at + size;
    return at;
  }

  /** Takes back the place that was given out last: nothing is written there. */
  undo(at: number): void {
    this.#used -= this.#sizes.pop() ?? 0;
    this.#next = at;
  }

  /** Gives the oldest place back. */
  free(): void {
    const size = this.#sizes.shift() ?? 0;
    this.#used -= size;
    this.#oldest = (this.#oldest + size) % this.bytes.length;
  }
}
