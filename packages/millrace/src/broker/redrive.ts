// Moves dead letters back to a queue. Each slice is leased and moved in one atomic step of the store, as a message moves to a
// dead letter queue: it keeps its id, body and send time, its attempts begin again, and it is never in both queues or in none.

import { isMillraceError, milliseconds, MillraceError } from "../core/index.ts";
import type { BatchId, CatalogView, Decision, Holder, QueueId, QueueRecord, StorageEngine } from "../core/index.ts";
import type { ControlPlane } from "./control-plane.ts";
import { existingQueue } from "./queues.ts";

export interface RedriveDependencies {
  readonly engine: StorageEngine;
  readonly controlPlane: ControlPlane;
}

export interface RedriveRequest {
  readonly from: QueueId;
  readonly to: QueueId;
  /** At most this many messages. */
  readonly max: number;
  /** Aborted when nobody waits any more; what is moved stays moved. */
  readonly signal?: AbortSignal | undefined;
}

export interface RedriveResult {
  readonly moved: number;
  /** What the queue still holds: delayed messages, those a consumer has, and those beyond `max`. */
  readonly left: number;
}

/** Messages of one step: a step holds up sends no longer than a delivery does. */
const sliceSize = 100;
/**
 * Never meant to end: a lease that ends counts as a failed delivery of a pull consumer, which may have no attempt left. Where
 * neither moving nor giving back worked, the messages are given back by the server's next start.
 */
const visibility = milliseconds(30 * 86_400_000);
const holder = "server:redrive" as Holder;

/**
 * Moves what is ready now, oldest first; delayed messages and those a consumer has stay. A paused queue is no obstacle on
 * either side: a redrive is no delivery. Throws `QUEUE_NOT_FOUND`, `REQUEST_INVALID` (from a queue to itself),
 * `QUEUE_SETTINGS_INVALID` (jurisdictions differ), `BACKLOG_FULL` when the target takes nothing, and what the store throws.
 */
export async function redrive(
  { engine, controlPlane }: RedriveDependencies,
  { from, to, max, signal }: RedriveRequest,
): Promise<RedriveResult> {
  checkPair(existingQueue(controlPlane.view, from), existingQueue(controlPlane.view, to));
  let moved = 0;
  while (moved < max) {
    if (signal?.aborted === true) break;
    const full = await fullTarget(engine, existingQueue(controlPlane.view, to));
    if (full !== undefined && moved === 0) throw full;
    if (full !== undefined) break;
    const wanted = Math.min(sliceSize, max - moved);
    const { batch, messages } = await engine.lease(from, { max: wanted, window: undefined, visibility, holder });
    if (batch === undefined) break;
    moved += await move(engine, from, batch, to);
    if (messages.length < wanted) break;
  }
  const { backlog } = await engine.metrics(from);
  return { moved, left: backlog.count };
}

/** The one queue whose consumer sends its dead letters here. Throws `REQUEST_INVALID` when there is none or several. */
export function redriveTarget(view: CatalogView, from: QueueRecord): QueueRecord {
  const sources = view.all("queue").filter(({ id }) =>
    view.consumersOf(id).some(({ dead_letter_queue: target }) => {
      return target !== null && view.resolve(target)?.id === from.id;
    }),
  );
  const [source] = sources;
  if (source !== undefined && sources.length === 1) return source;
  const why =
    source === undefined
      ? `no consumer has ${from.name} as its dead letter queue`
      : `${from.name} is the dead letter queue of ${sources.map(({ name }) => name).join(", ")}`;
  throw new MillraceError("REQUEST_INVALID", `target_queue: expected a queue's name, for ${why}`);
}

function checkPair(from: QueueRecord, to: QueueRecord): void {
  if (from.id === to.id) {
    throw new MillraceError("REQUEST_INVALID", `target_queue: expected another queue than ${from.name} itself`);
  }
  if (from.jurisdiction !== to.jurisdiction) {
    throw new MillraceError(
      "QUEUE_SETTINGS_INVALID",
      `jurisdiction: ${from.name} has ${from.jurisdiction ?? "none"} and ${to.name} has ${to.jurisdiction ?? "none"}; messages do not leave theirs`,
    );
  }
}

async function fullTarget(engine: StorageEngine, to: QueueRecord): Promise<MillraceError | undefined> {
  const { backlog } = await engine.metrics(to.id);
  if (backlog.bytes < to.backlog_limit_bytes) return undefined;
  return new MillraceError(
    "BACKLOG_FULL",
    `Storage Limit Exceeded: queue ${to.name} holds ${backlog.bytes} bytes of at most ${to.backlog_limit_bytes}`,
  );
}

async function move(engine: StorageEngine, from: QueueId, batch: BatchId, to: QueueId): Promise<number> {
  const decide = async (decision: Decision): Promise<number> =>
    (await engine.settle(from, { each: [], whole: [{ batch, decision }] })).done;
  try {
    return await decide({ kind: "deadLetter", queue: to });
  } catch (error) {
    // Whether it moved is not known: where it did, the lease is stale by now and nothing is given back.
    if (!isMillraceError(error, "ENGINE_CLOSED")) await decide({ kind: "release" });
    throw error;
  }
}
