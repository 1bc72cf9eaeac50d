// Pull consumers: clients lease messages over HTTP, and settle them by lease id.
//
// A client sees `<attempts>-<lease>` as lease id: the number tells what a retry means without asking the store.

import { after, earliest, milliseconds, MillraceError, pullHolder, seconds, settle } from "../core/index.ts";
import type {
  Backlog,
  CatalogView,
  Clock,
  EpochMs,
  LeaseDecision,
  LeasedBatch,
  LeasedMessage,
  LeaseId,
  Milliseconds,
  PullConsumerRecord,
  QueueId,
  QueueRecord,
  Readiness,
  StorageEngine,
} from "../core/index.ts";
import type { Alarms } from "./alarms.ts";
import type { ControlPlane } from "./control-plane.ts";
import type { LeaseExpiry } from "./lease-expiry.ts";
import { LongPolls } from "./long-polls.ts";
import { existingQueue } from "./queues.ts";
import type { Settler } from "./settler.ts";

export interface PullDependencies {
  readonly engine: StorageEngine;
  readonly controlPlane: ControlPlane;
  readonly settler: Settler;
  readonly leaseExpiry: LeaseExpiry;
  readonly alarms: Alarms;
  readonly clock: Clock;
  readonly observe: (queue: QueueRecord, readiness: Readiness) => void;
}

/** Validated by the caller against the limits of the contract. */
export interface PullRequest {
  /** Absent: the consumer's own. */
  readonly batchSize: number | undefined;
  /** As many times the batch size may be leased; absent: once. */
  readonly batches?: number | undefined;
  readonly visibility: Milliseconds | undefined;
  /** Long polling: how long to wait for a first message; absent or 0 answers at once. */
  readonly wait?: Milliseconds | undefined;
  /** Aborted when the client went away; a long poll leases nothing after that but what its first look finds. */
  readonly signal?: AbortSignal | undefined;
}

/** A lease id as a client sees it. */
export type PullLeaseId = string;

export interface PulledMessage extends Omit<LeasedMessage, "lease"> {
  readonly lease: PullLeaseId;
}

export interface PullResponse {
  readonly messages: readonly PulledMessage[];
  readonly backlog: Backlog;
}

export interface AckRequest {
  readonly acks: readonly PullLeaseId[];
  readonly retries: readonly { readonly lease: PullLeaseId; readonly delay: Milliseconds | undefined }[];
}

export interface AckResponse {
  readonly acked: number;
  readonly retried: number;
  /** What was odd, by lease id: unknown, already settled, or late. */
  readonly warnings: ReadonlyMap<PullLeaseId, string>;
}

export class PullConsumers {
  readonly #dependencies: PullDependencies;
  readonly #polls: LongPolls;
  readonly #unsubscribe: () => void;
  #stopped = false;

  constructor(dependencies: PullDependencies) {
    this.#dependencies = dependencies;
    this.#polls = new LongPolls(dependencies.alarms);
    this.#unsubscribe = dependencies.controlPlane.onChange(() => this.#answerRefused());
  }

  /** Throws `QUEUE_NOT_FOUND`, `CONSUMER_TYPE_MISMATCH`, `QUEUE_PAUSED`. */
  async pull(queue: QueueId, request: PullRequest): Promise<PullResponse> {
    const { wait = milliseconds(0), signal } = request;
    if (wait === 0) return responseOf(await this.#lease(queue, request));
    const { clock, alarms } = this.#dependencies;
    const giveUpAt = after(clock.now(), wait);
    using poll = this.#polls.join(queue);
    for (;;) {
      poll.look();
      const batch = await this.#lease(queue, request);
      const { ready, nextDueAt, nextLeaseEndsAt } = batch.readiness;
      if (batch.messages.length > 0 && ready > 0) this.wake(queue);
      if (batch.messages.length > 0 || clock.now() >= giveUpAt || this.#stopped) return responseOf(batch);
      const next = earliest(nextDueAt, nextLeaseEndsAt);
      if (next !== undefined) alarms.setIfEarlier(`pull-due:${queue}`, next, () => this.wake(queue));
      await poll.sleep(giveUpAt, signal);
      if (signal?.aborted === true) return responseOf(batch);
    }
  }

  /** Settles leases of any pulls, in any number of calls. Odd leases are warnings, never errors. Throws `QUEUE_NOT_FOUND`. */
  async ack(queue: QueueId, request: AckRequest): Promise<AckResponse> {
    const { controlPlane, settler, clock, observe } = this.#dependencies;
    const record = existingQueue(controlPlane.view, queue);
    const [consumer] = controlPlane.view.consumersOf(queue);
    const warnings = new Map<PullLeaseId, string>();
    const acks = new Map<LeaseId, PullLeaseId>();
    const retries = new Map<
      LeaseId,
      { readonly shown: PullLeaseId; readonly attempts: number; readonly delay: Milliseconds | undefined }
    >();
    for (const shown of request.acks) {
      const parsed = parseLease(shown);
      if (parsed === undefined) warnings.set(shown, "not a lease id of this queue");
      else acks.set(parsed.lease, shown);
    }
    for (const { lease: shown, delay } of request.retries) {
      const parsed = parseLease(shown);
      if (parsed === undefined) warnings.set(shown, "not a lease id of this queue");
      else if (acks.has(parsed.lease)) warnings.set(shown, "named in both acks and retries; the ack counts");
      else retries.set(parsed.lease, { shown, attempts: parsed.attempts, delay });
    }
    if (acks.size + retries.size === 0) return { acked: 0, retried: 0, warnings };

    const receipt = await settler.settle(queue, consumer, (policy) => {
      const now = clock.now();
      const rules = policy ?? {
        maxRetries: Number.POSITIVE_INFINITY,
        retryDelay: seconds(0),
        deadLetterQueue: undefined,
      };
      const each: LeaseDecision[] = Array.from(acks.keys(), (lease) => ({ lease, decision: acknowledge }));
      for (const [lease, { attempts, delay }] of retries) {
        each.push({ lease, decision: settle(attempts, { kind: "retry", delay }, rules, now) });
      }
      return { each, whole: [] };
    });
    observe(record, receipt.readiness);
    for (const lease of receipt.late) {
      warnings.set(
        acks.get(lease) ?? lease,
        "the lease had ended; the message was acknowledged all the same, but may have been delivered again",
      );
    }
    let acked = acks.size;
    let retried = retries.size;
    for (const lease of receipt.stale) {
      const ack = acks.get(lease);
      if (ack === undefined) retried -= 1;
      else acked -= 1;
      warnings.set(ack ?? retries.get(lease)?.shown ?? lease, "unknown lease: settled before, ended, or purged");
    }
    return { acked, retried, warnings };
  }

  /** Moves the end of leases to `visibility` from now (an extension of Millrace). Answers those that are no longer held. */
  async extend(
    queue: QueueId,
    leases: readonly PullLeaseId[],
    visibility: Milliseconds,
  ): Promise<{ readonly stale: readonly PullLeaseId[] }> {
    const { engine, controlPlane, clock } = this.#dependencies;
    existingQueue(controlPlane.view, queue);
    const stale: PullLeaseId[] = [];
    const known = new Map<LeaseId, PullLeaseId>();
    for (const shown of leases) {
      const parsed = parseLease(shown);
      if (parsed === undefined) stale.push(shown);
      else known.set(parsed.lease, shown);
    }
    const receipt = await engine.extend(queue, [...known.keys()], (clock.now() + visibility) as EpochMs);
    return { stale: [...stale, ...receipt.stale.map((lease) => known.get(lease) ?? lease)] };
  }

  /** The queue may have something, or will when the sends under way are stored, which a lease waits for: somebody who waits tries again. */
  wake(queue: QueueId): void {
    this.#polls.wake(queue);
  }

  /** Answers all who wait with what there is. */
  stop(): void {
    this.#stopped = true;
    this.#unsubscribe();
    for (const queue of this.#polls.queues()) this.#polls.wakeAll(queue);
  }

  async #lease(queue: QueueId, request: PullRequest): Promise<LeasedBatch> {
    const { engine, clock, leaseExpiry, observe } = this.#dependencies;
    const { record, consumer } = this.#pullable(queue);
    const lease = {
      max: (request.batchSize ?? consumer.batch_size) * (request.batches ?? 1),
      window: undefined,
      visibility: request.visibility ?? milliseconds(consumer.visibility_timeout_ms),
      holder: pullHolder,
      afterSends: true,
    };
    let batch = await engine.lease(queue, lease);
    if (batch.messages.length === 0 && (batch.readiness.nextLeaseEndsAt ?? Number.POSITIVE_INFINITY) <= clock.now()) {
      await leaseExpiry.expire(queue);
      batch = await engine.lease(queue, lease);
    }
    observe(record, batch.readiness);
    return batch;
  }

  #pullable(queue: QueueId): { readonly record: QueueRecord; readonly consumer: PullConsumerRecord } {
    const view: CatalogView = this.#dependencies.controlPlane.view;
    const record = existingQueue(view, queue);
    const consumer = view.consumersOf(queue).find((each) => each.type === "http_pull");
    if (consumer === undefined)
      throw new MillraceError("CONSUMER_TYPE_MISMATCH", `Queue ${record.name} has no http_pull consumer`);
    if (record.paused)
      throw new MillraceError("QUEUE_PAUSED", `queue_delivery_paused: delivery of queue ${record.name} is paused`);
    return { record, consumer };
  }

  /** Who waits at a queue that was paused, deleted or lost its consumer is told so at once. */
  #answerRefused(): void {
    for (const queue of this.#polls.queues()) {
      try {
        this.#pullable(queue);
      } catch {
        this.#polls.wakeAll(queue); // they meet the same error, and their clients are told
      }
    }
  }
}

/** One for all: what crosses a thread is copied once, and then only pointed at. */
const acknowledge = { kind: "ack" } as const;

function responseOf({ messages, backlog }: LeasedBatch): PullResponse {
  return {
    // Field by field: a spread costs several times as much, and there are a hundred in a pull.
    messages: messages.map(({ lease, id, sentAt, contentType, body, source, attempts }) => ({
      lease: `${attempts.toString(36)}-${lease}`,
      id,
      sentAt,
      contentType,
      body,
      source,
      attempts,
    })),
    backlog,
  };
}

const leasePattern = /^([0-9a-z]{1,4})-([\x21-\x7e]{1,200})$/;

function parseLease(shown: PullLeaseId): { readonly lease: LeaseId; readonly attempts: number } | undefined {
  const match = leasePattern.exec(shown);
  if (match?.[1] === undefined || match[2] === undefined) return undefined;
  return { lease: match[2] as LeaseId, attempts: Number.parseInt(match[1], 36) };
}
