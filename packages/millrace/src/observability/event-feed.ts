// The last events, and those to come: what `millrace workers logs` and the console follow. Bounded; the oldest are forgotten.

import type { LogFields } from "../core/index.ts";
import type { EventObserver } from "./observers.ts";

export interface FeedEvent {
  /** Counts up by one with every event kept. */
  readonly number: number;
  /** Milliseconds since the Unix epoch. */
  readonly at: number;
  readonly event: string;
  readonly fields: LogFields;
}

export interface EventFeed {
  /** Takes an event in; give it to `observeLogger`. */
  readonly observe: EventObserver;
  /** The last events that pass, oldest first, at most `limit`. */
  recent(limit: number, passes?: (event: FeedEvent) => boolean): readonly FeedEvent[];
  /** Calls back with every event from now on. Must not throw. Returns the way to stop. */
  subscribe(listener: (event: FeedEvent) => void): () => void;
}

export interface EventFeedOptions {
  /** How many events are remembered. */
  readonly capacity: number;
  /** Which events are of interest; the others cost a call and nothing else. */
  readonly keeps: (event: string, fields: LogFields) => boolean;
  readonly now: () => number;
}

export function createEventFeed({ capacity, keeps, now }: EventFeedOptions): EventFeed {
  const ring: FeedEvent[] = [];
  const listeners = new Set<(event: FeedEvent) => void>();
  let number = 0;

  return {
    observe(event, fields) {
      if (!keeps(event, fields)) return;
      const entry: FeedEvent = { number, at: now(), event, fields };
      ring[number % capacity] = entry;
      number += 1;
      for (const listener of listeners) listener(entry);
    },
    recent(limit, passes = () => true) {
      const found: FeedEvent[] = [];
      for (let back = 1; back <= ring.length && found.length < limit; back += 1) {
        const entry = ring[(number - back) % capacity];
        if (entry !== undefined && passes(entry)) found.push(entry);
      }
      return found.toReversed();
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
}
