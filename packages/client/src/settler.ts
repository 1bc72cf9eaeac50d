// Tells the server what became of leased messages. Acks and retries of batches that end together travel together: with the next
// pull where one is about to go and the server takes them so, otherwise in a request of their own.
//
// A settlement *waits* for a pull for a few turns of the microtask queue, which is no time; then it goes by itself. With a pull it
// is a *passenger*, which arrives or misses it. Who missed it is told by a request of its own: settling twice is safe.

import { Coalescer } from "./coalescer.ts";
import type { Verdict } from "./decisions.ts";
import { isRecord } from "./json-shape.ts";
import { limits } from "./limits.ts";
import { callQueue } from "./rest-queue.ts";
import type { RestQueueParts } from "./rest-queue.ts";

export interface Settlement {
  readonly leaseId: string;
  readonly verdict: Verdict;
}

/** What was odd, by lease id: unknown, settled before, or late. */
export type SettleWarnings = ReadonlyMap<string, string>;

/** Settlements that travel with a pull. One of the two is called, once. */
export interface Passengers {
  /** As of an acknowledgement, JSON text. */
  readonly body: string;
  /** The server said what became of them. */
  arrived(settled: unknown): void;
  /** It did not: they may be settled or not. */
  missed(): void;
}

interface Waiting {
  readonly batch: readonly Settlement[];
  readonly resolve: (warnings: SettleWarnings | Promise<SettleWarnings>) => void;
}

/** Turns of the microtask queue in which the next pull starts, if it does. */
const turnsToPull = 12;

const nothingOdd: SettleWarnings = new Map();

export class Settler {
  readonly #parts: RestQueueParts;
  readonly #requests: Coalescer<readonly Settlement[], SettleWarnings>;
  readonly #waiting: Waiting[] = [];
  #isLeaving = false;

  constructor(parts: RestQueueParts) {
    this.#parts = parts;
    this.#requests = new Coalescer({
      deliver: async (batches) => await this.#tell(batches.flat()),
      weigh: (batch) => batch.length,
      maxCount: limits.settle.count,
      maxWeight: limits.settle.count,
      overhead: 0,
      maxWaiting: Number.POSITIVE_INFINITY, // the consumer has a bounded number of batches
      maxRequests: 1,
    });
  }

  /**
   * Resolves when the server has settled the whole batch. Safe to repeat: what is settled already comes back as a warning.
   * `withPull`: the next pull may take it along.
   */
  async settle(batch: readonly Settlement[], { withPull }: { readonly withPull: boolean }): Promise<SettleWarnings> {
    return warningsFor(batch, withPull ? await this.#waitForPull(batch) : await this.#requests.add(batch));
  }

  /** Who waits, as far as a request takes them: a pull that goes now must take them along. */
  board(): Passengers | undefined {
    let count = 0;
    let leases = 0;
    for (const { batch } of this.#waiting) {
      if (count > 0 && leases + batch.length > limits.settle.count) break;
      count += 1;
      leases += batch.length;
    }
    if (count === 0) return undefined;
    const aboard = this.#waiting.splice(0, count);
    const settlements = aboard.flatMap(({ batch }) => batch);
    const tellAll = (warnings: SettleWarnings | Promise<SettleWarnings>): void => {
      for (const { resolve } of aboard) resolve(warnings);
    };
    return {
      body: bodyOf(settlements),
      arrived: (settled) => {
        tellAll(readWarnings(settled));
      },
      missed: () => {
        // What was settled by the first try is odd to the second, and says nothing.
        tellAll(this.#requests.add(settlements).then(() => nothingOdd));
      },
    };
  }

  async #waitForPull(batch: readonly Settlement[]): Promise<SettleWarnings> {
    return await new Promise<SettleWarnings>((resolve) => {
      this.#waiting.push({ batch, resolve });
      if (!this.#isLeaving) void this.#leaveSoon(); // never rejects
    });
  }

  async #leaveSoon(): Promise<void> {
    this.#isLeaving = true;
    for (let turn = 0; turn < turnsToPull && this.#waiting.length > 0; turn += 1) await Promise.resolve();
    this.#isLeaving = false;
    for (const { batch, resolve } of this.#waiting.splice(0)) resolve(this.#requests.add(batch));
  }

  async #tell(settlements: readonly Settlement[]): Promise<SettleWarnings> {
    const body = bodyOf(settlements);
    const result = await callQueue(this.#parts, { method: "POST", path: "/messages/ack", body });
    return readWarnings(result);
  }
}

/** Of one batch among those that travelled together. */
function warningsFor(batch: readonly Settlement[], warnings: SettleWarnings): SettleWarnings {
  if (warnings.size === 0) return warnings;
  const own = batch.flatMap(({ leaseId }) => {
    const warning = warnings.get(leaseId);
    return warning === undefined ? [] : [[leaseId, warning] as const];
  });
  return new Map(own);
}

function bodyOf(settlements: readonly Settlement[]): string {
  const acks: { readonly lease_id: string }[] = [];
  const retries: { readonly lease_id: string; readonly delay_seconds?: number }[] = [];
  for (const { leaseId, verdict } of settlements) {
    if (verdict.kind === "ack") acks.push({ lease_id: leaseId });
    else if (verdict.delaySeconds === undefined) retries.push({ lease_id: leaseId });
    else retries.push({ lease_id: leaseId, delay_seconds: verdict.delaySeconds });
  }
  return JSON.stringify({ acks, retries });
}

export function readWarnings(result: unknown): SettleWarnings {
  const warnings = isRecord(result) ? result["warnings"] : undefined;
  const entries = isRecord(warnings) ? Object.entries(warnings) : [];
  return new Map(entries.map(([leaseId, text]) => [leaseId, String(text)]));
}
