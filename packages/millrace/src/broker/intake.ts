// The way in: every accepted message passes here, whichever door it came through.

import { makeMessageId, MillraceError } from "../core/index.ts";
import type { CatalogView, Clock, QueueId, QueueRecord, Random, SendReceipt, StorageEngine } from "../core/index.ts";
import { prepareSend } from "../contract/index.ts";
import type { SendItem } from "../contract/index.ts";
import { Admission } from "./admission.ts";

export interface IntakeDependencies {
  readonly engine: StorageEngine;
  readonly clock: Clock;
  readonly random: Random;
  /** The catalog as it is now. */
  readonly catalog: () => CatalogView;
  /** Told of every send that was stored, and how many milliseconds that took. */
  readonly onAccepted?: ((queue: QueueRecord, count: number, ms: number) => void) | undefined;
}

export interface IntakeOptions {
  readonly batchDelaySeconds?: number | undefined;
  readonly source?: string | undefined;
}

/** Bytes of random drawn at once; a message takes ten. */
const randomPool = 1_280;

export class Intake {
  readonly #dependencies: IntakeDependencies;
  readonly #admission: Admission;
  #pool: Uint8Array = new Uint8Array();
  #used = 0;

  constructor(dependencies: IntakeDependencies) {
    this.#dependencies = dependencies;
    this.#admission = new Admission(dependencies.engine, dependencies.clock);
  }

  /**
   * Accepts 1 to 100 messages for a queue: all or none. On disk when it resolves.
   * Throws the errors of `prepareSend` and of the engine's `send`, `QUEUE_NOT_FOUND`, `BACKLOG_FULL` and `RATE_LIMITED`.
   */
  async send(queue: QueueId, items: readonly SendItem[], options: IntakeOptions = {}): Promise<SendReceipt> {
    const record = this.#queue(queue);
    const { engine, clock, onAccepted } = this.#dependencies;
    const now = clock.now();
    const messages = prepareSend(
      items,
      {
        batchDelaySeconds: options.batchDelaySeconds,
        queueDelaySeconds: record.delivery_delay_s,
        source: options.source,
      },
      now,
      () => makeMessageId(now, this.#tenRandomBytes()),
    );
    let bytes = 0;
    for (const { body } of messages) bytes += body.byteLength;
    const admission = this.#admission.admit(record, messages.length, bytes);
    if (admission !== undefined) await admission;
    const receipt = await engine.send(queue, messages);
    this.#admission.learn(queue, receipt);
    onAccepted?.(record, messages.length, clock.now() - now);
    return receipt;
  }

  #queue(id: QueueId): QueueRecord {
    const record = this.#dependencies.catalog().get("queue", id);
    if (record !== undefined) return record;
    this.#admission.forget(id);
    throw new MillraceError("QUEUE_NOT_FOUND", `Queue ${id} does not exist`);
  }

  #tenRandomBytes(): Uint8Array {
    if (this.#used + 10 > this.#pool.length) {
      this.#pool = this.#dependencies.random.bytes(randomPool);
      this.#used = 0;
    }
    return this.#pool.subarray(this.#used, (this.#used += 10));
  }
}
