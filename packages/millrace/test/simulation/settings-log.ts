// Which settings were in force when. A server may act on settings that are a little out of date; this tells what it may have known.

import type { CatalogOperation, ConsumerRecord, QueueId, QueueRecord } from "../../src/core/index.ts";
import type { World } from "./world.ts";

interface Entry<T> {
  readonly since: number;
  readonly value: T;
}

/** How late news of a change may reach a server that runs, on a clock that is not set back meanwhile. */
const newsTakesMs = 180_000;

export class SettingsLog {
  readonly #world: World;
  readonly #queues = new Map<QueueId, Entry<QueueRecord>[]>();
  readonly #consumers = new Map<QueueId, Entry<ConsumerRecord | undefined>[]>();
  readonly #consumerQueues = new Map<string, QueueId>();
  /** Every id a queue name ever meant. */
  readonly #idsOfName = new Map<string, Set<QueueId>>();

  constructor(world: World) {
    this.#world = world;
  }

  apply(operations: readonly CatalogOperation[]): void {
    for (const operation of operations) {
      if (operation.kind === "put" && operation.record.kind === "queue") {
        const record = operation.record.value as unknown as QueueRecord;
        this.#log(this.#queues, record.id, record);
        const ids = this.#idsOfName.get(record.name) ?? new Set();
        this.#idsOfName.set(record.name, ids.add(record.id));
      } else if (operation.kind === "put" && operation.record.kind === "consumer") {
        const record = operation.record.value as unknown as ConsumerRecord;
        this.#log(this.#consumers, record.queue_id, record);
        this.#consumerQueues.set(record.id, record.queue_id);
      } else if (operation.kind === "delete" && operation.record.kind === "consumer") {
        const queue = this.#consumerQueues.get(operation.record.key);
        if (queue !== undefined) this.#log(this.#consumers, queue, undefined);
      }
    }
  }

  /** Consumers of the queue that a server may have gone by since `mono`; `undefined` among them: none. */
  consumersSince(queue: QueueId, mono: number): readonly (ConsumerRecord | undefined)[] {
    const none = { since: Number.NEGATIVE_INFINITY, value: undefined };
    return this.#since([none, ...(this.#consumers.get(queue) ?? [])], mono);
  }

  /** Settings of the queue that a server may have gone by since `mono`. */
  queuesSince(queue: QueueId, mono: number): readonly QueueRecord[] {
    return this.#since(this.#queues.get(queue) ?? [], mono);
  }

  /** Whether a setting that names the queue by this name could mean this id. */
  couldMean(name: string, queue: QueueId): boolean {
    return this.#idsOfName.get(name)?.has(queue) === true;
  }

  nameOf(queue: QueueId): string {
    return this.#queues.get(queue)?.at(-1)?.value.name ?? queue;
  }

  #log<T>(log: Map<QueueId, Entry<T>[]>, queue: QueueId, value: T): void {
    const entry = { since: this.#world.mono, value };
    const entries = log.get(queue);
    if (entries === undefined) log.set(queue, [entry]);
    else entries.push(entry);
  }

  #since<T>(entries: readonly Entry<T>[], mono: number): T[] {
    const from = mono - newsTakesMs - this.#world.frozenMs - this.#world.backWhileRunningMs;
    return entries
      .filter((_, index) => (entries[index + 1]?.since ?? Number.POSITIVE_INFINITY) >= from)
      .map(({ value }) => value);
  }
}
