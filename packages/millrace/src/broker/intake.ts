// The way in: every accepted message passes here, whichever door it came through.

import { isMillraceError, MessageIds, MillraceError } from "../core/index.ts";
import type {
  CatalogView,
  Clock,
  EpochMs,
  NewMessage,
  QueueId,
  QueueRecord,
  Random,
  SendReceipt,
  StorageEngine,
} from "../core/index.ts";
import { prepareSend } from "../contract/index.ts";
import type { SendItem } from "../contract/index.ts";
import { AcceptedIds } from "./accepted-ids.ts";
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
  /** For messages with ids of their own: when they were sent for the first time, whose outcome is not known. */
  readonly firstSentAt?: EpochMs | undefined;
}

/**
 * A request may be this long on its way, and the clock may be set: by so much a first send may have come in earlier than its
 * repetition says. The store grants as much.
 */
const slackMs = 60_000;

export class Intake {
  readonly #dependencies: IntakeDependencies;
  readonly #admission: Admission;
  readonly #acceptedIds: AcceptedIds;
  readonly #ids: MessageIds;

  constructor(dependencies: IntakeDependencies) {
    this.#dependencies = dependencies;
    this.#admission = new Admission(dependencies.engine, dependencies.clock);
    this.#acceptedIds = new AcceptedIds(dependencies.clock);
    this.#ids = new MessageIds(dependencies.random);
  }

  /**
   * Accepts 1 to 100 messages for a queue: all or none. On disk when it resolves.
   * A message with an id of its own that was accepted before is not stored again; after a restart that takes `firstSentAt`.
   * Throws the errors of `prepareSend` and of the engine's `send`, `QUEUE_NOT_FOUND`, `BACKLOG_FULL` and `RATE_LIMITED`.
   */
  async send(queue: QueueId, items: readonly SendItem[], options: IntakeOptions = {}): Promise<SendReceipt> {
    const record = this.#queue(queue);
    const now = this.#dependencies.clock.now();
    const messages = prepareSend(
      items,
      {
        batchDelaySeconds: options.batchDelaySeconds,
        queueDelaySeconds: record.delivery_delay_s,
        source: options.source,
        sentAt: options.firstSentAt,
      },
      now,
      () => this.#ids.next(now),
    );
    const hasOwnIds = items.some(({ messageId }) => messageId !== undefined);
    if (hasOwnIds) return await this.#storeOnce(record, messages, now, options.firstSentAt);
    return await this.#store(record, messages, now);
  }

  /**
   * Takes messages in again that were in a queue before, under their ids; those that the queue holds already stay as they are.
   * All or none. The limits of a send do not apply, nor does the queue's rate limit: nobody sent them now.
   * `anyAge`: they may be stored already since long before their times of sending.
   * Throws the errors of the engine's `send`, `QUEUE_NOT_FOUND` and `BACKLOG_FULL`.
   */
  async takeBack(
    queue: QueueId,
    messages: readonly NewMessage[],
    { anyAge }: { readonly anyAge: boolean },
  ): Promise<SendReceipt & { readonly known: number }> {
    const { engine, clock } = this.#dependencies;
    const record = this.#queue(queue);
    if (messages.length === 0) return { ...(await engine.metrics(queue)), known: 0 };
    const now = clock.now();
    return await this.#claiming(record, messages, async () => {
      await this.#admit({ ...record, messages_per_second: null }, messages);
      const receipt = await engine.send(queue, messages, { resend: true, anyAge });
      const { known = 0 } = receipt;
      this.#accepted(record, receipt, messages.length - known, now);
      return { ...receipt, known };
    });
  }

  /** Leaves out what was accepted before. A repetition that overtakes its own first send waits for that to end. */
  async #storeOnce(
    record: QueueRecord,
    messages: readonly NewMessage[],
    now: EpochMs,
    firstSentAt: EpochMs | undefined,
  ): Promise<SendReceipt> {
    const accepted = this.#acceptedIds;
    return await this.#claiming(record, messages, async () => {
      const unknown = messages.filter(({ id }) => !accepted.has(record.id, id));
      if (unknown.length === 0) return await this.#dependencies.engine.metrics(record.id);
      const mayBeStored = firstSentAt !== undefined && firstSentAt < accepted.completeSince + slackMs;
      return mayBeStored ? await this.#storeMissing(record, unknown, now) : await this.#store(record, unknown, now);
    });
  }

  /** Stores messages whose ids are somebody else's, while nobody else does; their ids are known afterwards. */
  async #claiming<T>(record: QueueRecord, messages: readonly NewMessage[], store: () => Promise<T>): Promise<T> {
    const accepted = this.#acceptedIds;
    const ids = messages.map(({ id }) => id);
    const release = await accepted.claim(record.id, ids);
    try {
      const result = await store();
      accepted.add(record.id, ids);
      return result;
    } catch (error) {
      if (isMillraceError(error, "UNKNOWN_OUTCOME")) accepted.doubt();
      throw error;
    } finally {
      release();
    }
  }

  async #store(record: QueueRecord, messages: readonly NewMessage[], now: EpochMs): Promise<SendReceipt> {
    const { engine } = this.#dependencies;
    const { id: queue } = record;
    const admission = this.#admit(record, messages);
    if (admission !== undefined) await admission;
    const receipt = await engine.send(queue, messages);
    this.#accepted(record, receipt, messages.length, now);
    return receipt;
  }

  /** As `#store`, but what the queue holds already stays as it is. The store looks for it, which takes its time. */
  async #storeMissing(record: QueueRecord, messages: readonly NewMessage[], now: EpochMs): Promise<SendReceipt> {
    await this.#admit(record, messages);
    const receipt = await this.#dependencies.engine.send(record.id, messages, { resend: true });
    this.#accepted(record, receipt, messages.length - (receipt.known ?? 0), now);
    return receipt;
  }

  #admit(record: QueueRecord, messages: readonly NewMessage[]): Promise<void> | undefined {
    let bytes = 0;
    for (const { body } of messages) bytes += body.byteLength;
    return this.#admission.admit(record, messages.length, bytes);
  }

  #accepted(record: QueueRecord, receipt: SendReceipt, count: number, since: EpochMs): void {
    const { clock, onAccepted } = this.#dependencies;
    this.#admission.learn(record.id, receipt);
    onAccepted?.(record, count, clock.now() - since);
  }

  #queue(id: QueueId): QueueRecord {
    const record = this.#dependencies.catalog().get("queue", id);
    if (record !== undefined) return record;
    this.#admission.forget(id);
    this.#acceptedIds.forget(id);
    throw new MillraceError("QUEUE_NOT_FOUND", `Queue ${id} does not exist`);
  }
}
