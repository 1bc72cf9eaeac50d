// Which of a send's messages a queue holds already.

import { epochMs } from "../../../core/index.ts";
import type { EpochMs, MessageId } from "../../../core/index.ts";
import { IdIndex } from "../id-index.ts";
import type { Ledger } from "../ledger.ts";
import type { IndexIdsMessage } from "../protocol.ts";
import type { QueueState } from "../queue-state.ts";
import { readHeader } from "../record.ts";
import type { SendFrame } from "../send-frame.ts";

/** How far back from its send time a resent message is looked for, in case the clock was set. */
const clockSlackMs = 60_000;
/** Messages read at once: others wait for it, 10 ms. */
const sliceMessages = 10_000;
/** Ids in the index at most, 96 MB; what is behind them is looked through each time. */
const mostIds = 4_000_000;
/** The index is let go when nobody has asked for this long. */
const keptMs = 60_000;

/** Makes the index reach from `since` on, in slices; answers whether there is more to read. */
export function indexIds(ledger: Ledger, { now, since }: IndexIdsMessage): boolean {
  const from = positionAt(ledger, epochMs(since - clockSlackMs));
  let { ids } = ledger;
  // Who asks for older ones a second time will do so again.
  if (ids === undefined) ledger.ids = ids = new IdIndex(from, now);
  else if (ids.from > from) ledger.ids = ids = new IdIndex(ledger.tables.log.firstPosition(), now);
  return readOn(ledger, ids, now);
}

/** Lets the index go when nobody has used it for a while. */
export function forgetIds(ledger: Ledger, now: EpochMs): void {
  if (ledger.ids !== undefined && now > ledger.ids.usedAt + keptMs) ledger.ids = undefined;
}

/** Which of the request's ids the queue still holds: by the index as far as it goes, behind it by looking through the log. */
export function knownIds(ledger: Ledger, queue: QueueState, request: SendFrame, bytes: Buffer): Set<MessageId> {
  const wanted = new Map<MessageId, Buffer>();
  let since = request.anyAge ? 0 : Number.POSITIVE_INFINITY;
  for (const { start, end } of request.messages) {
    const { id, sentAt } = readHeader(bytes.subarray(start, end));
    wanted.set(id, Buffer.from(id, "hex"));
    since = Math.min(since, sentAt);
  }
  const known = new Set<MessageId>();
  const { log } = ledger.tables;
  let from = positionAt(ledger, epochMs(since - clockSlackMs));
  const { ids } = ledger;
  if (ids !== undefined && ids.from <= from) {
    readOn(ledger, ids, request.now);
    for (const [id, idBytes] of wanted) {
      for (const position of ids.positionsOf(idBytes)) {
        if (!queue.holds(position)) continue;
        const header = log.header(position);
        if (header !== undefined && readHeader(header).id === id) known.add(id);
      }
    }
    from = Math.max(from, ids.next);
  }
  if (from >= ledger.nextPosition) return known;
  for (const { position, header } of log.messagesWith(new Set(wanted.keys()), queue.number, from)) {
    if (queue.holds(position)) known.add(readHeader(header).id);
  }
  return known;
}

function readOn(ledger: Ledger, ids: IdIndex, now: EpochMs): boolean {
  ids.usedAt = now;
  if (ids.count >= mostIds) return false;
  let left = sliceMessages;
  for (const [position, id] of ledger.tables.log.idsFrom(ids.next)) {
    ids.add(id, position);
    ids.next = position + 1;
    left -= 1;
    if (left === 0) return ids.count < mostIds;
  }
  ids.next = ledger.nextPosition;
  return false;
}

/** The first position whose message was stored at or after a point in time, by halving: messages are in order of arrival. */
function positionAt(ledger: Ledger, storedAt: EpochMs): number {
  let low = ledger.tables.log.firstPosition();
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
