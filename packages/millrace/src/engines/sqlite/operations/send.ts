// Takes messages in.

import type { EpochMs } from "../../../core/index.ts";
import type { Ledger } from "../ledger.ts";
import { bodyLength, readHeader } from "../record.ts";
import type { SendFrame } from "../send-frame.ts";
import { knownIds } from "./known-ids.ts";

/** Answers how many messages of a resend were there already. Throws `QUEUE_NOT_FOUND` before anything happens. */
export function send(ledger: Ledger, request: SendFrame, bytes: Buffer): number {
  const queue = ledger.queue(request.queue);
  const known = request.resend ? knownIds(ledger, queue, request, bytes) : undefined;
  const { now, messages } = request;
  let skipped = 0;
  let run: { first: number; count: number; storedAt: EpochMs } | undefined;
  for (const { start, end, visibleAt } of messages) {
    if (known !== undefined) {
      const { id } = readHeader(bytes.subarray(start, end));
      if (known.has(id)) {
        skipped += 1;
        continue;
      }
      known.add(id);
    }
    const position = ledger.append(queue, bytes, start, end);
    queue.countIn(1, bodyLength(bytes, start));
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
