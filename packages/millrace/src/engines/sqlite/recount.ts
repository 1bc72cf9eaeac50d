// A recount of one queue under way. Messages keep their position for as long as they are in a queue, whatever their state, so it
// goes through the positions once; what leaves the queue behind it is taken off again. So it is exact at each moment for all
// positions up to `through`, though other requests come between its slices.

/** Positions remembered of messages that are named but not stored; beyond it the count of them may be too high. */
const missingRemembered = 10_000;

export class RunningRecount {
  /** The queue's number: a purge gives it another, and the recount has lost its object. */
  readonly queue: number;
  /** Everything up to here is counted. */
  through = 0;
  count = 0;
  bytes = 0;
  stranded = 0;
  doubled = 0;
  unreadable = 0;
  missing = 0;
  readonly #missing = new Set<number>();

  constructor(queue: number) {
    this.queue = queue;
  }

  isMissing(position: number): void {
    this.missing += 1;
    if (this.#missing.size < missingRemembered) this.#missing.add(position);
  }

  /** A message left the queue. */
  removed(position: number, size: number): void {
    if (position > this.through) return;
    if (this.#missing.delete(position)) {
      this.missing -= 1;
      return;
    }
    this.count -= 1;
    this.bytes -= size;
  }
}
