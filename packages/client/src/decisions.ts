// What a consumer said about a batch, and what becomes of each message. Pure.
//
// Recording and resolving follow the Workers runtime and the documentation (developers.cloudflare.com/queues, batching and
// retries; the runtime measured with workerd 2026-11-17): the first decision on a message stands, a decision on a message
// goes before one on the batch, and an explicit one before the handler's outcome.

export type Delay = number | undefined;

export type Verdict =
  | { readonly kind: "ack" }
  /** Without a delay the consumer's own `retry_delay` applies, which the server knows. */
  | { readonly kind: "retry"; readonly delaySeconds: Delay };

/** Why a decision changed nothing; `undefined`: it counts. */
export type Ignored = string | undefined;

/** The decisions on one batch. Messages are known by their place in it. */
export class Decisions {
  readonly #acks = new Set<number>();
  readonly #retries = new Map<number, Delay>();
  #ackAll = false;
  #retryAll = false;
  #retryAllDelay: Delay;

  ack(index: number): Ignored {
    if (this.#ackAll) return undefined;
    if (this.#retryAll) return "ack() after retryAll() is ignored";
    if (this.#retries.has(index)) return "ack() after retry() is ignored";
    this.#acks.add(index);
    return undefined;
  }

  /** Again: the last delay counts, and none clears it. */
  retry(index: number, delay: Delay): Ignored {
    if (this.#ackAll) return "retry() after ackAll() is ignored";
    if (this.#acks.has(index)) return "retry() after ack() is ignored";
    this.#retries.set(index, delay);
    return undefined;
  }

  ackAll(): Ignored {
    if (this.#retryAll) return "ackAll() after retryAll() is ignored";
    this.#ackAll = true;
    return undefined;
  }

  /** Again: a delay replaces the one before, none leaves it. */
  retryAll(delay: Delay): Ignored {
    if (this.#ackAll) return "retryAll() after ackAll() is ignored";
    this.#retryAll = true;
    if (delay !== undefined) this.#retryAllDelay = delay;
    return undefined;
  }

  /** `succeeded`: the handler returned, or its promise was fulfilled. */
  verdict(index: number, succeeded: boolean): Verdict {
    if (this.#acks.has(index)) return { kind: "ack" };
    if (this.#retries.has(index)) {
      return { kind: "retry", delaySeconds: this.#retries.get(index) ?? this.#retryAllDelay };
    }
    if (this.#ackAll) return { kind: "ack" };
    if (this.#retryAll) return { kind: "retry", delaySeconds: this.#retryAllDelay };
    return succeeded ? { kind: "ack" } : { kind: "retry", delaySeconds: undefined };
  }
}
