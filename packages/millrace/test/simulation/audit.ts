// Compares what the store holds with the books, message by message and count by count.

import { epochMs } from "../../src/core/index.ts";
import type { PeekedMessage, QueueId, Readiness, StorageEngine } from "../../src/core/index.ts";
import type { Ledger } from "./ledger.ts";
import { textOf } from "./tracked.ts";
import type { Outcome, TrackedMessage, TrackedQueue } from "./tracked.ts";

/** Why messages may be missing after a step: where the step says which, the audit finds out. */
export interface Removal {
  readonly why: Outcome;
  /** How many the store reports. */
  readonly count: number;
  readonly mayTake: (message: TrackedMessage) => boolean;
}

export async function audit(engine: StorageEngine, ledger: Ledger, id: QueueId, removal?: Removal): Promise<void> {
  const queue = ledger.queue(id);
  const stored = await contents(engine, id);
  const name = ledger.settings.nameOf(id);
  const seen = new Map<TrackedMessage, PeekedMessage>();
  for (const found of stored) {
    const message = ledger.messages.get(found.id);
    if (message === undefined || message.queue !== id) {
      const law = message?.end === "acked" ? "resurrection" : "conservation";
      const text = (): string => `${name} holds a message that should not be in it (${message?.end ?? "unknown"})`;
      ledger.claim(false, law, text, message);
      return;
    }
    ledger.claim(!seen.has(message), "conservation", () => `${name} holds the message twice`, message);
    seen.set(message, found);
  }
  const missing = [...queue.messages].filter((message) => !seen.has(message));
  if (removal === undefined) {
    ledger.claim(missing.length === 0, "conservation", () => `${name} lost the message`, missing[0]);
  } else {
    const law = removal.why === "expired" ? "retention" : "purge";
    const wrong = missing.find((message) => !removal.mayTake(message));
    ledger.claim(wrong === undefined, law, () => `${removal.why} out of turn in ${name}`, wrong);
    ledger.claim(
      missing.length === removal.count,
      "accounting",
      () => `${removal.count} messages of ${name} reported as ${removal.why}, ${missing.length} are gone`,
    );
    ledger.gone(id, missing, removal.why);
  }
  for (const [message, found] of seen) compare(ledger, message, found);
  await compareCounts(engine, ledger, queue);
}

/** Everything a queue holds. */
export async function contents(engine: StorageEngine, id: QueueId): Promise<PeekedMessage[]> {
  const all: PeekedMessage[] = [];
  for (;;) {
    const page = await engine.peek(id, { max: 100, after: all.at(-1)?.ref });
    all.push(...page);
    if (page.length < 100) return all;
  }
}

function compare(ledger: Ledger, message: TrackedMessage, found: PeekedMessage): void {
  const leased = message.lease !== undefined;
  ledger.claim(
    leased === (found.state === "leased"),
    "double-lease",
    () => `${found.state} in the store, ${leased ? "leased" : "not leased"} by the books`,
    message,
  );
  ledger.claim(
    found.attempts === message.attempts,
    "attempts",
    () => `${found.attempts} attempts in the store, ${message.attempts} by the books`,
    message,
  );
  ledger.claim(
    textOf(found.body) === message.text && found.sentAt === message.sentAt && found.contentType === message.contentType,
    "payload",
    () => "it is not what was sent",
    message,
  );
  if (leased) {
    ledger.claim(
      found.until === message.lease?.endsAt,
      "double-lease",
      () => "its lease ends at another time",
      message,
    );
  } else if (!ledger.world.wentBack) {
    const delayed = message.visibleAt > ledger.world.now();
    ledger.claim(
      delayed === (found.state === "delayed") && (!delayed || found.until === message.visibleAt),
      "delay",
      () => `${found.state} in the store, ${delayed ? `delayed until ${message.visibleAt}` : "ready"} by the books`,
      message,
    );
  }
}

async function compareCounts(engine: StorageEngine, ledger: Ledger, queue: TrackedQueue): Promise<void> {
  const { accounting, backlog, readiness } = await engine.metrics(queue.id);
  const name = ledger.settings.nameOf(queue.id);
  const counts = Object.entries(queue.counts);
  ledger.claim(
    counts.every(([key, value]) => accounting[key as keyof typeof accounting] === value),
    "accounting",
    () => `${name} counts ${JSON.stringify(accounting)}, the books say ${JSON.stringify(queue.counts)}`,
  );
  const { accepted, acked, deadLettered, expired, purged, dropped } = accounting;
  ledger.claim(
    accepted === backlog.count + acked + deadLettered + expired + purged + dropped,
    "accounting",
    () => `${name}: the accounting law does not hold for ${JSON.stringify({ ...accounting, backlog: backlog.count })}`,
  );
  let bytes = 0;
  for (const { text } of queue.messages) bytes += text.length;
  ledger.claim(
    backlog.count === queue.messages.size && backlog.bytes === bytes,
    "accounting",
    () =>
      `${name} reports a backlog of ${backlog.count} (${backlog.bytes} bytes), it is ${queue.messages.size} (${bytes})`,
  );
  compareReadiness(ledger, queue, readiness);
}

/** Held against what the store answers about a queue, after the books are up to date. */
export function compareReadiness(ledger: Ledger, queue: TrackedQueue, readiness: Readiness): void {
  if (ledger.world.wentBack) return; // what is ready once stays so, and the books cannot tell whether the store looked
  const now = ledger.world.now();
  let ready = 0;
  let nextDueAt = Number.POSITIVE_INFINITY;
  let nextLeaseEndsAt = Number.POSITIVE_INFINITY;
  for (const { lease, visibleAt } of queue.messages) {
    if (lease !== undefined) nextLeaseEndsAt = Math.min(nextLeaseEndsAt, lease.endsAt);
    else if (visibleAt <= now) ready += 1;
    else nextDueAt = Math.min(nextDueAt, visibleAt);
  }
  const same =
    readiness.ready === ready &&
    (readiness.readySince === undefined) === (ready === 0) &&
    (readiness.nextDueAt ?? Number.POSITIVE_INFINITY) === nextDueAt &&
    (readiness.nextLeaseEndsAt ?? Number.POSITIVE_INFINITY) === nextLeaseEndsAt &&
    (readiness.readySince ?? epochMs(0)) <= now;
  ledger.claim(
    same,
    "readiness",
    () =>
      `${ledger.settings.nameOf(queue.id)} reports ${JSON.stringify(readiness)} at ${now}, ` +
      `but ${ready} are ready, the next is due at ${nextDueAt} and the next lease ends at ${nextLeaseEndsAt}`,
  );
}
