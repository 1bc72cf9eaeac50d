// Places for deliveries that may run at once, when one server is all there is. A shared engine keeps them where all servers see them.

import type { Holder, QueueId } from "./identity.ts";
import type { Clock, Slot } from "./ports.ts";
import type { EpochMs, Milliseconds } from "./time.ts";
import { after } from "./time.ts";

interface Place {
  readonly holder: Holder;
  readonly lostAt: EpochMs;
}

export class LocalSlots {
  readonly #clock: Clock;
  readonly #taken = new Map<QueueId, Set<Place>>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** One of at most `max` places of a queue; `undefined` when all are taken. Lost when not released within `ttl`. */
  acquire(queue: QueueId, holder: Holder, max: number, ttl: Milliseconds): Slot | undefined {
    const now = this.#clock.now();
    const places = this.#taken.get(queue) ?? new Set<Place>();
    if (places.size >= max) {
      for (const place of places) if (place.lostAt <= now) places.delete(place);
      if (places.size >= max) return undefined;
    }
    const place = { holder, lostAt: after(now, ttl) };
    places.add(place);
    this.#taken.set(queue, places);
    return {
      release: async () => {
        if (places.delete(place) && places.size === 0 && this.#taken.get(queue) === places) this.#taken.delete(queue);
      },
    };
  }
}
