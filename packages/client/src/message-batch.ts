// The batch that a handler gets, the same as in a Worker's `queue()` handler.
// Source: developers.cloudflare.com/queues/configuration/javascript-apis, MessageBatch and Message.

import { decodeBody } from "./body-decoding.ts";
import { Decisions } from "./decisions.ts";
import type { Ignored, Verdict } from "./decisions.ts";
import { parseDelay } from "./message-encoding.ts";
import type { PulledBatch, PulledMessage } from "./pulled-messages.ts";
import type { QueueMetrics } from "./queue.ts";

export interface QueueRetryOptions {
  /** Seconds before the message may be delivered again, 0 to 86,400. Absent: the consumer's `retry_delay`. */
  readonly delaySeconds?: number;
}

export interface Message<Body = unknown> {
  readonly id: string;
  /** When it was sent. */
  readonly timestamp: Date;
  /** Decoded when it is first read; reading throws when the body is not what its content type says. */
  readonly body: Body;
  /** Deliveries so far, this one included: 1 or more. */
  readonly attempts: number;
  /** How the body was sent: `json`, `text`, `bytes` or `v8`. Not in a Worker. */
  readonly contentType: string;
  ack(): void;
  /** Throws `QueueError` `DELAY_INVALID`. */
  retry(options?: QueueRetryOptions): void;
}

export interface MessageBatch<Body = unknown> {
  /** The queue's name. */
  readonly queue: string;
  readonly messages: readonly Message<Body>[];
  readonly metadata: { readonly metrics: QueueMetrics };
  ackAll(): void;
  /** Throws `QueueError` `DELAY_INVALID`. */
  retryAll(options?: QueueRetryOptions): void;
}

/** Told when a decision changes nothing. */
export type OnIgnored = (reason: string, message: PulledMessage | undefined) => void;

/** A batch in a handler's hands: the view it gets, and its decisions until it is closed. */
export class BatchInHand<Body> {
  readonly view: MessageBatch<Body>;
  readonly pulled: PulledBatch;
  readonly #decisions = new Decisions();
  readonly #onIgnored: OnIgnored;
  #closed = false;

  constructor(pulled: PulledBatch, onIgnored: OnIgnored) {
    this.pulled = pulled;
    this.#onIgnored = onIgnored;
    this.view = {
      queue: pulled.queue,
      messages: pulled.messages.map((message, index) => this.#viewOf(message, index)),
      metadata: { metrics: pulled.metrics },
      ackAll: () => {
        this.#record(undefined, "ackAll()", () => this.#decisions.ackAll());
      },
      retryAll: (options) => {
        const delay = parseDelay(options?.delaySeconds);
        this.#record(undefined, "retryAll()", () => this.#decisions.retryAll(delay));
      },
    };
  }

  /** The handler is done: what it decides from now on is lost, as in a Worker. Answers what becomes of each message. */
  close(succeeded: boolean): readonly { readonly leaseId: string; readonly verdict: Verdict }[] {
    this.#closed = true;
    return this.pulled.messages.map(({ leaseId }, index) => ({
      leaseId,
      verdict: this.#decisions.verdict(index, succeeded),
    }));
  }

  #viewOf(pulled: PulledMessage, index: number): Message<Body> {
    return new MessageInHand<Body>(
      pulled,
      () => {
        this.#record(pulled, "ack()", () => this.#decisions.ack(index));
      },
      (options) => {
        const delay = parseDelay(options?.delaySeconds);
        this.#record(pulled, "retry()", () => this.#decisions.retry(index, delay));
      },
    );
  }

  #record(message: PulledMessage | undefined, what: string, decide: () => Ignored): void {
    const ignored = this.#closed ? `${what} after the handler has ended is ignored` : decide();
    if (ignored !== undefined) this.#onIgnored(ignored, message);
  }
}

class MessageInHand<Body> implements Message<Body> {
  readonly id: string;
  readonly timestamp: Date;
  readonly attempts: number;
  readonly contentType: string;
  readonly ack: () => void;
  readonly retry: (options?: QueueRetryOptions) => void;
  #encoded: string | undefined;
  #body: unknown;

  constructor(pulled: PulledMessage, ack: () => void, retry: (options?: QueueRetryOptions) => void) {
    this.id = pulled.id;
    this.timestamp = new Date(pulled.timestampMs);
    this.attempts = pulled.attempts;
    this.contentType = pulled.contentType;
    this.#encoded = pulled.body;
    this.ack = ack;
    this.retry = retry;
  }

  get body(): Body {
    if (this.#encoded !== undefined) {
      this.#body = decodeBody(this.#encoded, this.contentType);
      this.#encoded = undefined;
    }
    return this.#body as Body;
  }
}
