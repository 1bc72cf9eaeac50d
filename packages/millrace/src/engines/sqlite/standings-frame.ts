// How queues stand, as it travels back with a group's answers: ids and numbers, since a commit may touch a thousand queues.

import { epochMs } from "../../core/index.ts";
import type { Backlog, EpochMs, QueueId, Readiness } from "../../core/index.ts";

/** How a queue stands after a transaction. */
export interface Standing {
  readonly queue: QueueId;
  readonly backlog: Backlog;
  readonly readiness: Readiness;
  /** Whether something in it may have become leasable. */
  readonly isWoken: boolean;
}

export interface StandingsFrame {
  readonly queues: readonly QueueId[];
  /** `numbersPerQueue` of each; NaN stands for `undefined`. */
  readonly numbers: Float64Array;
}

const numbersPerQueue = 8;

export function standingsFrame(standings: readonly Standing[]): StandingsFrame {
  const numbers = new Float64Array(standings.length * numbersPerQueue);
  let at = 0;
  for (const { backlog, readiness, isWoken } of standings) {
    numbers[at] = backlog.count;
    numbers[at + 1] = backlog.bytes;
    numbers[at + 2] = backlog.oldestSentAt ?? Number.NaN;
    numbers[at + 3] = readiness.ready;
    numbers[at + 4] = readiness.readySince ?? Number.NaN;
    numbers[at + 5] = readiness.nextDueAt ?? Number.NaN;
    numbers[at + 6] = readiness.nextLeaseEndsAt ?? Number.NaN;
    numbers[at + 7] = isWoken ? 1 : 0;
    at += numbersPerQueue;
  }
  return { queues: standings.map(({ queue }) => queue), numbers };
}

export function readStandings({ queues, numbers }: StandingsFrame): Standing[] {
  return queues.map((queue, index) => {
    const at = index * numbersPerQueue;
    const number = (offset: number): number => numbers[at + offset] ?? Number.NaN;
    const time = (offset: number): EpochMs | undefined => {
      const value = number(offset);
      return Number.isNaN(value) ? undefined : epochMs(value);
    };
    return {
      queue,
      backlog: { count: number(0), bytes: number(1), oldestSentAt: time(2) },
      readiness: { ready: number(3), readySince: time(4), nextDueAt: time(5), nextLeaseEndsAt: time(6) },
      isWoken: number(7) === 1,
    };
  });
}
