// Tells the server what became of leased messages. Acks and retries of batches that end together travel together.

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

export class Settler {
  readonly #parts: RestQueueParts;
  readonly #requests: Coalescer<readonly Settlement[], SettleWarnings>;

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

  /** Resolves when the server has settled the whole batch. Safe to repeat: what is settled already comes back as a warning. */
  async settle(batch: readonly Settlement[]): Promise<SettleWarnings> {
    return await this.#requests.add(batch);
  }

  async #tell(settlements: readonly Settlement[]): Promise<SettleWarnings> {
    const acks: { readonly lease_id: string }[] = [];
    const retries: { readonly lease_id: string; readonly delay_seconds?: number }[] = [];
    for (const { leaseId, verdict } of settlements) {
      if (verdict.kind === "ack") acks.push({ lease_id: leaseId });
      else if (verdict.delaySeconds === undefined) retries.push({ lease_id: leaseId });
      else retries.push({ lease_id: leaseId, delay_seconds: verdict.delaySeconds });
    }
    const body = JSON.stringify({ acks, retries });
    const result = await callQueue(this.#parts, { method: "POST", path: "/messages/ack", body });
    return readWarnings(result);
  }
}

export function readWarnings(result: unknown): SettleWarnings {
  const warnings = isRecord(result) ? result["warnings"] : undefined;
  const entries = isRecord(warnings) ? Object.entries(warnings) : [];
  return new Map(entries.map(([leaseId, text]) => [leaseId, String(text)]));
}
