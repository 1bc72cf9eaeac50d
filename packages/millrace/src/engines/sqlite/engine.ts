// The SQLite engine as the server's thread sees it: stamps and encodes requests, decodes answers, wakes listeners.

import { epochMs, LocalSlots, MillraceError } from "../../core/index.ts";
import type {
  BackupProgress,
  Clock,
  EngineCapabilities,
  EpochMs,
  ExpiredLease,
  Holder,
  LeasedBatch,
  LeaseId,
  LeaseRequest,
  Logger,
  MessageId,
  MessageRef,
  Milliseconds,
  NewMessage,
  PeekedMessage,
  QueueId,
  QueueMetrics,
  QueueSurvey,
  Readiness,
  Recount,
  SendReceipt,
  SettleReceipt,
  SettleRequest,
  Slot,
  StorageEngine,
} from "../../core/index.ts";
import { writeBackup } from "./backup.ts";
import { SqliteCatalog } from "./catalog.ts";
import { batchId, leaseId, messageRef } from "./lease-id.ts";
import { readLeasedFrame } from "./leased-frame.ts";
import type { Tuning } from "./ledger.ts";
import { laneOf } from "./protocol.ts";
import type { Operation, RequestOf, Results } from "./protocol.ts";
import { readRecord } from "./record.ts";
import { sendFrameLength, writeSendFrame } from "./send-frame.ts";
import type { Standing } from "./standings-frame.ts";
import { ThreadLink } from "./thread-link.ts";
import type { AnsweredRequest, StoreLink } from "./thread-link.ts";

/** How often a recount that lost its object begins anew. */
const mostLosses = 20;

type WakeListener = (queue: QueueId, readiness: Readiness | undefined) => void;
type SendingListener = (queue: QueueId, messages: number) => void;

export interface SqliteEngineOptions {
  /** Where the data is; made (0700) when it is not there. */
  readonly folder: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** The engine has ended by itself and refuses everything: only opening it again helps. */
  readonly onFailure?: ((failure: MillraceError) => void) | undefined;
  /** For tests, which make these so small that folds and reloads happen all the time. */
  readonly tuning?: Partial<Tuning>;
}

const defaultTuning: Tuning = {
  foldBytes: 1_000_000,
  runsInMemory: 100_000,
  partsKept: 500,
  // 4 MB: as many messages a second as with four times as many, and requests wait half as long for it (32 sends of 100 at a time:
  // 99th percentile 20 to 30 ms against 50).
  checkpointPages: 1_000,
};

/**
 * Opens the data in a folder, or makes it. Throws `DATA_LOCKED`, `DATA_DAMAGED`, `DATA_TOO_NEW`, `STORAGE_FULL`, `UNAVAILABLE`.
 * One engine at a time has a folder: over all processes, and whatever became of the one before.
 */
export async function openSqliteEngine(options: SqliteEngineOptions): Promise<StorageEngine> {
  return await SqliteEngine.open(options);
}

/** An engine on a store that is open. For tests, which have one without a thread. */
export function sqliteEngineOn(link: StoreLink, clock: Clock): StorageEngine {
  return new SqliteEngine(link, clock, new Set());
}

class SqliteEngine implements StorageEngine {
  readonly name = "sqlite";
  readonly capabilities: EngineCapabilities = { durable: true, shared: false, backup: true };
  readonly catalog: SqliteCatalog;
  readonly #link: StoreLink;
  readonly #clock: Clock;
  readonly #slots: LocalSlots;
  readonly #listeners: Set<WakeListener>;
  readonly #sendingListeners = new Set<SendingListener>();
  #recounts: Promise<unknown> = Promise.resolve();
  #isCopying = false;

  constructor(link: StoreLink, clock: Clock, listeners: Set<WakeListener>) {
    this.#link = link;
    this.#clock = clock;
    this.#slots = new LocalSlots(clock);
    this.#listeners = listeners;
    this.catalog = new SqliteCatalog(link);
  }

  static async open({ folder, clock, logger, onFailure, tuning }: SqliteEngineOptions): Promise<SqliteEngine> {
    const listeners = new Set<WakeListener>();
    const wake = (standings: readonly Standing[]): void => {
      for (const { queue, readiness, isWoken } of standings) {
        if (isWoken) for (const listener of listeners) listener(queue, readiness);
      }
    };
    const link = await ThreadLink.start({ folder, tuning: { ...defaultTuning, ...tuning } }, logger, wake);
    link.onBroken = onFailure;
    return new SqliteEngine(link, clock, listeners);
  }

  async send(
    queue: QueueId,
    messages: readonly NewMessage[],
    { resend = false, anyAge = false }: { readonly resend?: boolean; readonly anyAge?: boolean } = {},
  ): Promise<SendReceipt> {
    if (resend) await this.#indexIds(messages, anyAge);
    const send = { queue, now: this.#clock.now(), resend, anyAge, messages };
    const sending = this.#link.send(sendFrameLength(send), (buffer, at) => writeSendFrame(buffer, at, send));
    this.#tellSending(queue, messages);
    const answer = await sending;
    const receipt = receiptOf(answer, queue);
    return resend ? { ...receipt, known: answer.result as number } : receipt;
  }

  async lease(queue: QueueId, request: LeaseRequest): Promise<LeasedBatch> {
    const { max, window, visibility, holder, afterSends = false } = request;
    const durable = afterSends || (request.durable ?? true); // with what waits for the disk, it waits too
    const now = this.#clock.now();
    const asked: RequestOf<"lease"> = { op: "lease", queue, now, max, window, visibility, holder, durable };
    const answer = afterSends ? await this.#link.askLast(() => asked) : (await this.#ask(asked)).answer;
    const result = answer.result as Results["lease"];
    const receipt = receiptOf(answer, queue);
    if (result === undefined) return { batch: undefined, messages: [], ...receipt };
    return { batch: batchId(result.batch), messages: readLeasedFrame(answer.bytes, result), ...receipt };
  }

  async settle(queue: QueueId, { each, whole, durable = true }: SettleRequest): Promise<SettleReceipt> {
    const isAckOnly = each.every(({ lease, decision }) => decision.kind === "ack" && /^[^ ]+$/.test(lease));
    const decided = isAckOnly ? { acks: each.map(({ lease }) => lease).join(" "), each: [] } : { acks: "", each };
    const request = { op: "settle", queue, now: this.#clock.now(), ...decided, whole, durable } as const;
    const { answer, result } = await this.#ask(request);
    const { done, late, stale } = result;
    return { done, late, stale, ...receiptOf(answer, queue) };
  }

  async extend(
    queue: QueueId,
    leases: readonly LeaseId[],
    endsAt: EpochMs,
  ): Promise<{ readonly stale: readonly LeaseId[] }> {
    return (
      await this.#ask({ op: "extend", queue, now: this.#clock.now(), leases, endsAt: epochMs(Math.ceil(endsAt)) })
    ).result;
  }

  async expiredLeases(queue: QueueId, limit: number): Promise<readonly ExpiredLease[]> {
    const { result } = await this.#ask({ op: "expiredLeases", queue, now: this.#clock.now(), limit });
    return result.map(({ batch, position, id, attempts }) => ({
      lease: leaseId(batch, position),
      id: id as MessageId,
      attempts,
    }));
  }

  async releaseHolder(holder: Holder): Promise<number> {
    return (await this.#ask({ op: "releaseHolder", holder, now: this.#clock.now() })).result;
  }

  async holders(): Promise<readonly Holder[]> {
    return (await this.#ask({ op: "holders" })).result;
  }

  async peek(
    queue: QueueId,
    options: { readonly max: number; readonly after?: MessageRef | undefined },
  ): Promise<readonly PeekedMessage[]> {
    const { max, after } = options;
    const { answer, result } = await this.#ask({ op: "peek", queue, now: this.#clock.now(), max, after });
    return result.map(({ record, position, attempts, state, until }) => {
      const { id, sentAt, contentType, body, source } = readRecord(answer.bytes.subarray(record.from, record.to));
      return { ref: messageRef(position), id, sentAt, contentType, body, source, attempts, state, until };
    });
  }

  /** Everything is gone for every reader after the first call; what is left is deleted in the background. */
  async purge(queue: QueueId, token: string | undefined): Promise<{ purged: number; more: boolean; token: string }> {
    if (token !== undefined) {
      await this.#ask({ op: "metrics", queue, now: this.#clock.now() });
      return { purged: 0, more: false, token };
    }
    const { result } = await this.#ask({ op: "purge", queue, now: this.#clock.now() });
    return { purged: result.purged, more: false, token: "all" };
  }

  async purgeByRef(
    queue: QueueId,
    refs: readonly MessageRef[],
  ): Promise<{ readonly purged: number; readonly unknown: readonly MessageRef[] }> {
    return (await this.#ask({ op: "purgeByRef", queue, now: this.#clock.now(), refs })).result;
  }

  async metrics(queue: QueueId): Promise<QueueMetrics> {
    return { queue, ...(await this.#ask({ op: "metrics", queue, now: this.#clock.now() })).result };
  }

  /** One recount at a time; the next waits. */
  async verify(queue: QueueId, proceed: () => boolean = () => true): Promise<Recount | undefined> {
    const turn = this.#recounts.then(async () => await this.#recount(queue, proceed));
    this.#recounts = turn.catch(() => undefined);
    return await turn;
  }

  async backup(file: string, proceed: (progress: BackupProgress) => boolean = () => true): Promise<boolean> {
    if (this.#isCopying) throw new MillraceError("UNAVAILABLE", "Another backup is being made");
    this.#isCopying = true;
    try {
      return await writeBackup(this.#link, file, proceed);
    } finally {
      this.#isCopying = false;
    }
  }

  async survey(): Promise<readonly QueueSurvey[]> {
    return (await this.#ask({ op: "survey", now: this.#clock.now() })).result;
  }

  async sweep(
    queue: QueueId,
    storedBefore: EpochMs,
    limit: number,
  ): Promise<{ readonly expired: number; readonly more: boolean; readonly nextStoredAt: EpochMs | undefined }> {
    return (await this.#ask({ op: "sweep", queue, now: this.#clock.now(), storedBefore, limit })).result;
  }

  async acquireSlot(queue: QueueId, holder: Holder, max: number, ttl: Milliseconds): Promise<Slot | undefined> {
    this.#link.assertOpen();
    return this.#slots.acquire(queue, holder, max, ttl);
  }

  onWake(listener: WakeListener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  onSending(listener: SendingListener): () => void {
    this.#sendingListeners.add(listener);
    return () => void this.#sendingListeners.delete(listener);
  }

  /** Waits for what was asked before. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#link.close();
    this.#listeners.clear();
    this.#sendingListeners.clear();
  }

  #tellSending(queue: QueueId, messages: readonly NewMessage[]): void {
    if (this.#sendingListeners.size === 0) return;
    let ready = 0;
    for (const { visibleAt } of messages) if (visibleAt === undefined) ready += 1;
    if (ready === 0) return;
    for (const listener of this.#sendingListeners) listener(queue, ready);
  }

  /** In slices, so that nobody waits for the whole. */
  async #indexIds(messages: readonly NewMessage[], anyAge: boolean): Promise<void> {
    let since = epochMs(anyAge ? 0 : Number.POSITIVE_INFINITY);
    for (const { sentAt } of messages) if (sentAt < since) since = sentAt;
    for (let more = messages.length > 0; more;) {
      more = (await this.#ask({ op: "indexIds", now: this.#clock.now(), since })).result;
    }
  }

  async #recount(queue: QueueId, proceed: () => boolean): Promise<Recount | undefined> {
    let found: Results["verify"] = "lost";
    for (let losses = 0; proceed();) {
      found = (await this.#ask({ op: "verify", queue, now: this.#clock.now(), begin: found === "lost" })).result;
      if (typeof found === "object") return found;
      if (found === "lost") losses += 1;
      if (losses > mostLosses) throw new MillraceError("UNAVAILABLE", "The queue kept being purged during the recount");
    }
    return undefined;
  }

  async #ask<O extends Exclude<Operation, "send">>(
    request: RequestOf<O>,
  ): Promise<{ readonly answer: AnsweredRequest; readonly result: Results[O] }> {
    const answer = await this.#link.ask(0, () => request, laneOf(request));
    return { answer, result: answer.result as Results[O] };
  }
}

function receiptOf({ standings }: AnsweredRequest, queue: QueueId): SendReceipt {
  const standing = standings.get(queue);
  if (standing === undefined) throw new Error(`the store thread did not say how queue ${queue} stands`);
  return { backlog: standing.backlog, readiness: standing.readiness };
}
