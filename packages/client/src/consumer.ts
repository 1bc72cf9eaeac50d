// Consumes a queue: pulls batches, hands them to the handler, tells the server what became of the messages.
//
// A place is for one batch: it is taken by a pull, then held by the handler. With a place free, one pull is always open; more
// are, while batches come full, so that an idle consumer costs one held request whatever its concurrency. The next pull does
// not wait for the settlement of the batch before it, but no more batches than places wait to be settled.
//
// A request costs more than the messages in it. So where the server can, and while batches come full, one pull asks for the batches of
// up to half the places, so that two take turns; and what was settled just before travels with it. A batch never waits for a handler.
// Stopping: no new pulls, the open ones are given up; handlers run to their end and their batches are settled.

// The declarations name AsyncDisposable, which the library of whoever compiles against them may not have.
/// <reference lib="esnext.disposable" preserve="true" />

import { parseConsumeOptions } from "./consume-options.ts";
import type { ConsumeOptions, ConsumeSettings } from "./consume-options.ts";
import type { ConsumerEvent } from "./consumer-events.ts";
import { isFinal, QueueError } from "./errors.ts";
import { LeaseKeeper } from "./lease-keeper.ts";
import { BatchInHand } from "./message-batch.ts";
import type { MessageBatch } from "./message-batch.ts";
import { Puller } from "./puller.ts";
import type { Pull } from "./puller.ts";
import type { PulledBatch, PulledMessage } from "./pulled-messages.ts";
import type { Queue } from "./queue.ts";
import { RestQueue } from "./rest-queue.ts";
import type { RestQueueParts } from "./rest-queue.ts";
import { Settler } from "./settler.ts";
import type { SettleWarnings } from "./settler.ts";

export interface HandlerContext {
  /** Aborted when the consumer is asked to stop: a long handler may hurry, or throw to have its messages delivered again. */
  readonly signal: AbortSignal;
}

/**
 * Returns, or fulfils its promise: messages without a decision are acknowledged. Throws, or rejects: they are delivered again.
 */
export type QueueHandler<Body = unknown> = (batch: MessageBatch<Body>, context: HandlerContext) => void | Promise<void>;

export interface Consumer extends AsyncDisposable {
  /**
   * Resolves when the consumer was stopped and everything is settled. Rejects with what ended it otherwise: a wrong token, a
   * queue that does not exist or has no pull consumer. Unheard, such an end is an unhandled rejection, not a silence.
   */
  readonly finished: Promise<void>;
  /** Stops taking batches and waits for those in hand. Answers `finished`. May be called repeatedly. */
  stop(): Promise<void>;
}

/** Starts to consume. The queue is one of `client.queue()`, and has an `http_pull` consumer. Throws `OPTION_INVALID`. */
export function consume<Body>(queue: Queue<Body>, handler: QueueHandler<Body>, options: ConsumeOptions = {}): Consumer {
  if (!(queue instanceof RestQueue)) throw new TypeError("consume() takes a queue of this package's createClient()");
  if (typeof handler !== "function") throw new TypeError("consume() takes a handler function");
  const loop = new ConsumerLoop(queue.parts, handler, parseConsumeOptions(options), options);
  loop.start();
  return loop;
}

class ConsumerLoop<Body> implements Consumer {
  readonly finished: Promise<void>;
  readonly #handler: QueueHandler<Body>;
  readonly #settings: ConsumeSettings;
  readonly #onEvent: ConsumeOptions["onEvent"];
  readonly #outerSignal: AbortSignal | undefined;
  readonly #stopping = new AbortController();
  readonly #puller: Puller;
  readonly #settler: Settler;
  readonly #leases: LeaseKeeper | undefined;
  /** Handled or on their way to be settled. */
  readonly #inHand = new Set<PulledBatch>();
  readonly #finish: { readonly resolve: () => void; readonly reject: (reason: unknown) => void };
  #failure: { readonly reason: unknown } | undefined;
  /** For events: as the user said it, until the first pull knows better. */
  #queueName: string;
  /** Places that open pulls have taken, and how many pulls. */
  #pulling = 0;
  #pulls = 0;
  #handling = 0;
  #settling = 0;
  #comesFull = false;

  constructor(
    parts: RestQueueParts,
    handler: QueueHandler<Body>,
    settings: ConsumeSettings,
    { signal, onEvent }: ConsumeOptions,
  ) {
    let finish: { readonly resolve: () => void; readonly reject: (reason: unknown) => void } | undefined;
    this.finished = new Promise((resolve, reject) => {
      finish = { resolve, reject };
    });
    if (finish === undefined) throw new Error("a promise did not run its executor");
    this.#finish = finish;
    this.#handler = handler;
    this.#settings = settings;
    this.#onEvent = onEvent;
    this.#outerSignal = signal;
    this.#queueName = parts.address.given;
    this.#settler = new Settler(parts);
    this.#puller = new Puller({
      parts,
      settings,
      stopping: this.#stopping.signal,
      onFailed: (error, retryInMs) => {
        this.#tell({ kind: "pull-failed", queue: this.#queueName, error, retryInMs });
      },
    });
    if (settings.extendLeases && settings.visibilityTimeoutMs !== undefined) {
      this.#leases = new LeaseKeeper({
        parts,
        visibilityTimeoutMs: settings.visibilityTimeoutMs,
        onLost: (warnings) => {
          this.#tellOfLeases("lease-lost", warnings);
        },
        onFailed: (error, givesUp) => {
          this.#tell({ kind: "lease-extension-failed", queue: this.#queueName, error, givesUp });
        },
      });
    }
  }

  start(): void {
    if (this.#outerSignal?.aborted === true) this.#stop();
    else this.#outerSignal?.addEventListener("abort", this.#stop, { once: true });
    this.#advance();
  }

  async stop(): Promise<void> {
    this.#stop();
    await this.finished;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  readonly #stop = (): void => {
    this.#stopping.abort();
    this.#advance();
  };

  /** Nobody can take what cannot be mended but who waits for `finished`. */
  #fail(reason: unknown): void {
    this.#failure ??= { reason };
    this.#stop();
  }

  /** Runs a part of the work: whatever goes wrong ends the consumer, and the next steps follow. */
  async #guarded(part: () => Promise<void>): Promise<void> {
    try {
      await part();
    } catch (error) {
      this.#fail(error);
    }
    this.#advance();
  }

  /** Starts whatever may start now, or finishes. */
  #advance(): void {
    if (this.#stopping.signal.aborted) {
      if (this.#pulling + this.#handling + this.#settling > 0) return;
      this.#outerSignal?.removeEventListener("abort", this.#stop);
      if (this.#failure === undefined) this.#finish.resolve();
      else this.#finish.reject(this.#failure.reason);
      return;
    }
    for (let places = this.#placesToPull(); places > 0; places = this.#placesToPull()) {
      this.#startPull(places);
    }
  }

  /** How many places the next pull takes; 0: none now. */
  #placesToPull(): number {
    const { concurrency } = this.#settings;
    if (this.#settling > concurrency) return 0;
    const free = concurrency - this.#pulling - this.#handling;
    if (!this.#comesFull) return this.#pulls === 0 && free > 0 ? 1 : 0;
    const share = Math.max(1, Math.min(Math.floor(concurrency / 2), this.#puller.fittingBatches));
    if (free >= share) return share;
    return this.#pulls === 0 ? Math.max(0, free) : 0; // with one open, more places may come free until it is answered
  }

  #startPull(batches: number): void {
    const passengers = this.#puller.takesMore ? this.#settler.board() : undefined;
    const wait = this.#pulls === 0 && passengers === undefined; // who settles wants to know it soon
    this.#pulling += batches;
    this.#pulls += 1;
    void this.#guarded(async () => {
      await this.#pull({ wait, batches, passengers });
    });
  }

  async #pull(pull: Pull): Promise<void> {
    let pulled: readonly PulledBatch[] = [];
    try {
      pulled = await this.#puller.pull(pull);
    } finally {
      this.#pulling -= pull.batches;
      this.#pulls -= 1;
    }
    const last = pulled.at(-1);
    this.#comesFull = pulled.length >= pull.batches && (last?.messages.length ?? 0) >= this.#settings.batchSize;
    this.#handling += pulled.length;
    for (const batch of pulled) {
      this.#queueName = batch.queue;
      void this.#guarded(async () => {
        await this.#handle(batch);
      });
    }
  }

  async #handle(pulled: PulledBatch): Promise<void> {
    this.#inHand.add(pulled);
    const batch = new BatchInHand<Body>(pulled, (reason, message) => {
      this.#tell({
        kind: "decision-ignored",
        queue: this.#queueName,
        reason,
        ...(message !== undefined && { messageId: message.id }),
      });
    });
    const release = this.#leases?.keep(pulled.messages.map(({ leaseId }) => leaseId));
    const succeeded = await this.#runHandler(batch);
    release?.();
    this.#handling -= 1;
    this.#settling += 1;
    const settled = this.#settle(batch, succeeded); // before the next pull, which may take it along
    this.#advance();
    try {
      await settled;
    } finally {
      this.#settling -= 1;
      this.#inHand.delete(pulled);
    }
  }

  async #runHandler(batch: BatchInHand<Body>): Promise<boolean> {
    try {
      await this.#handler(batch.view, { signal: this.#stopping.signal });
      return true;
    } catch (error) {
      const messageIds = idsOf(batch.pulled.messages);
      this.#tell({ kind: "handler-failed", queue: this.#queueName, error, messageIds });
      return false;
    }
  }

  async #settle(batch: BatchInHand<Body>, succeeded: boolean): Promise<void> {
    try {
      const withPull = this.#comesFull && this.#puller.takesMore && !this.#stopping.signal.aborted;
      this.#tellOfLeases("settle-warning", await this.#settler.settle(batch.close(succeeded), { withPull }));
    } catch (error) {
      if (!(error instanceof QueueError)) throw error;
      const messageIds = idsOf(batch.pulled.messages);
      this.#tell({ kind: "settle-failed", queue: this.#queueName, error, messageIds });
      if (isFinal(error)) this.#fail(error);
    }
  }

  /** Of leases in hand here: a request may have settled batches of several handlers. */
  #tellOfLeases(kind: "settle-warning" | "lease-lost", warnings: SettleWarnings): void {
    if (warnings.size === 0) return;
    const leased = [...this.#inHand].flatMap(({ messages }) => messages);
    const messageIds = new Map(leased.map(({ leaseId, id }) => [leaseId, id]));
    for (const [leaseId, warning] of warnings) {
      const messageId = messageIds.get(leaseId);
      if (messageId !== undefined) this.#tell({ kind, queue: this.#queueName, messageId, warning });
    }
  }

  /** A listener that throws ends the consumer: its error would otherwise be lost. */
  #tell(event: ConsumerEvent): void {
    try {
      this.#onEvent?.(event);
    } catch (error) {
      this.#fail(error);
    }
  }
}

function idsOf(messages: readonly PulledMessage[]): readonly string[] {
  return messages.map(({ id }) => id);
}
