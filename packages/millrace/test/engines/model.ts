// What a queue engine means, in the fewest words: an array of messages for each queue. Slow and obviously right.

import { epochMs } from "../../src/core/index.ts";
import type { Accounting, EpochMs, Holder, MessageId, NewMessage, QueueId, Readiness } from "../../src/core/index.ts";

export interface ModelMessage {
  readonly message: NewMessage;
  readonly storedAt: EpochMs;
  attempts: number;
  /** First moment it may be leased, or the moment since which it may. */
  readyAt: EpochMs;
  lease: { readonly batch: string; endsAt: EpochMs; readonly holder: Holder } | undefined;
}

type Outcome = "acked" | "deadLettered" | "expired" | "purged" | "dropped";

export class ModelQueue {
  /** In order of arrival. */
  messages: ModelMessage[] = [];
  readonly counters: Record<keyof Accounting, number> = {
    accepted: 0,
    acked: 0,
    deadLettered: 0,
    expired: 0,
    purged: 0,
    dropped: 0,
  };

  add(message: NewMessage, now: EpochMs): void {
    const readyAt = epochMs(Math.max(message.visibleAt ?? 0, now));
    this.messages.push({ message, storedAt: now, attempts: 0, readyAt, lease: undefined });
    this.counters.accepted += 1;
  }

  find(id: MessageId): ModelMessage | undefined {
    return this.messages.find(({ message }) => message.id === id);
  }

  remove(stored: ModelMessage, outcome: Outcome): void {
    this.messages.splice(this.messages.indexOf(stored), 1);
    this.counters[outcome] += 1;
  }

  ready(now: EpochMs): ModelMessage[] {
    return this.messages.filter(({ lease, readyAt }) => lease === undefined && readyAt <= now);
  }

  readiness(now: EpochMs): Readiness {
    const ready = this.ready(now);
    const waiting = this.messages.filter(({ lease, readyAt }) => lease === undefined && readyAt > now);
    return {
      ready: ready.length,
      readySince: smallest(ready.map(({ readyAt }) => readyAt)),
      nextDueAt: smallest(waiting.map(({ readyAt }) => readyAt)),
      nextLeaseEndsAt: smallest(this.messages.flatMap(({ lease }) => lease?.endsAt ?? [])),
    };
  }

  get bytes(): number {
    return this.messages.reduce((sum, { message }) => sum + message.body.length, 0);
  }
}

export class Model {
  readonly queues = new Map<QueueId, ModelQueue>();

  queue(id: QueueId): ModelQueue {
    const queue = this.queues.get(id);
    if (queue === undefined) throw new Error(`the model has no queue ${id}`);
    return queue;
  }
}

function smallest(times: readonly EpochMs[]): EpochMs | undefined {
  return times.length === 0 ? undefined : epochMs(Math.min(...times));
}
