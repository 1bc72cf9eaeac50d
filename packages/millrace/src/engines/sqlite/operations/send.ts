// Takes messages in.

import { epochMs } from "../../../core/index.ts";
import type { EpochMs, MessageId } from "../../../core/index.ts";
import type { Ledger } from "../ledger.ts";
import type { QueueState } from "../queue-state.ts";
import { bodyLength, readHeader } from "../record.ts";
import type { SendFrame } from "../send-frame.ts";

/** How far back from its send time a resent message is looked for, in case the clock was set. */
const clockSlackMs = 60_000;

/** Answers how many messages of a resend were there already. Throws `QUEUE_NOT_FOUND` before anything happens. */
export function send(ledger: Ledger, request: SendFrame): number {
  const queue = ledger.queue(request.queue);
  const known = request.resend ? knownIds(ledger, queue, request) : undefined;
  const { now, messages } = request;
  let skipped = 0;
  let run: { first: number; count: number; storedAt: EpochMs } | undefined;
  for (const { record, visibleAt } of messages) {
    if (known !== undefined) {
      const { id } = readHeader(record);
      if (known.has(id)) {
        skipped += 1;
        continue;
      }
      known.add(id);
    }
    const position = ledger.append(queue, record);
    queue.countIn(1, bodyLength(record));
    if (visibleAt > now) {
      queue.later.insert({ position, dueAt: visibleAt, attempts: 0 });
    } else if (run !== undefined && run.first + run.count === position) {
      run.count += 1;
    } else {
      if (run !== undefined) ledger.appendFresh(queue, run);
      run = { first: position, count: 1, storedAt: now };
    }
  }
  if (run !== undefined) ledger.appendFresh(queue, run);
  if (messages.length > 0) ledger.change(queue);
  return skipped;
}

/** Which of the request's ids the queue still holds. Reads the log on from the time of the oldest of them. */
function knownIds(ledger: Ledger, queue: QueueState, request: SendFrame): Set<MessageId> {
  const wanted = new Set<MessageId>();
  let since = Number.POSITIVE_INFINITY;
  for (const { record } of request.messages) {
    const { id, sentAt } = readHeader(record);
    wanted.add(id);
    since = Math.min(since, sentAt);
  }
  const known = new Set<MessageId>();
  const from = positionAt(ledger, epochMs(since - clockSlackMs));
  for (const { position, header } of ledger.tables.log.messagesWith(wanted, queue.number, from)) {
    if (queue.holds(position)) known.add(readHeader(header).id);
  }
  return known;
}

/** The first position whose message was stored at or after a point in time, by halving: messages are in order of arrival. */
function positionAt(ledger: Ledger, storedAt: EpochMs): number {
  let low = ledger.tables.log.bounds().first;
  let high = ledger.nextPosition;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const found = ledger.tables.log.messageFrom(middle);
    // Where a header is damaged the search goes on before it: it begins too early then, and misses nothing.
    if (found?.header === undefined || readHeader(found.header).storedAt >= storedAt) high = middle;
    else low = found.position + 1;
  }
  return low;
}
