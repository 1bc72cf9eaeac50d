// The law that nothing is lost: every message a queue ever accepted is stored, or left it by a way that was counted.
//
//   accepted = backlog + acked + deadLettered + expired + purged + dropped
//
// Two sets of facts are judged by it. What an engine counts as it goes is cheap and looked at all the time. What a recount finds by
// reading every message does not trust those counters. Pure: facts in, what is wrong with them out.

import type { Accounting, Backlog } from "./message.ts";

/** What an engine counts as it goes, all at the same moment. */
export interface CountedQueue {
  readonly backlog: Pick<Backlog, "count" | "bytes">;
  readonly accounting: Accounting;
  /** Messages that are ready, delayed or leased, counted where they wait: another count than `backlog`, which it must equal. */
  readonly held: number;
}

/** What reading every message of a queue found, and the counters of the very same moment. */
export interface Recount extends CountedQueue {
  /** Messages that are stored and that consumers get, or have. */
  readonly stored: { readonly count: number; readonly bytes: number };
  /** Stored, neither settled nor deleted, and yet waiting nowhere: no consumer would ever get them. */
  readonly stranded: number;
  /** Waiting or leased, but no longer stored. */
  readonly missing: number;
  /** Waiting in more than one place: consumers would get them twice. */
  readonly doubled: number;
  /** Of those stored: no message can be made of what is there. */
  readonly unreadable: number;
}

export type DiscrepancyCode =
  | "UNBALANCED"
  | "MISCOUNTED"
  | "RECOUNT_DIFFERS"
  | "STRANDED"
  | "MISSING"
  | "DOUBLED"
  | "UNREADABLE";

/** Something that ought not to be. */
export interface Discrepancy {
  readonly code: DiscrepancyCode;
  /** One sentence with the numbers, for people. */
  readonly text: string;
  /** What to do. */
  readonly remedy: string;
}

/** Accepted messages that are neither held nor left by a counted way. 0: the law holds; below 0: more left than came. */
export function imbalanceOf({ accounting, held }: Pick<CountedQueue, "accounting" | "held">): number {
  const { accepted, acked, deadLettered, expired, purged, dropped } = accounting;
  return accepted - (held + acked + deadLettered + expired + purged + dropped);
}

const report =
  "Keep a copy (`millrace backup`) and the server's log, and report it: it is a defect in Millrace or damage to its data.";
const recount = `\`millrace doctor --deep\` reads every message and says whether any is gone. ${report}`;
const onlyCounted = `Every message that is held was read, and is there: a counter is wrong. ${report}`;
const restart = `Restart the server, which reads from disk where each message is. If that does not mend it: ${report}`;
const restore = "Restore the newest backup into a folder of its own, and from it export and import what is gone here.";

/** What is wrong, the weightiest first; empty: the law holds. Facts of a recount are judged further than counters alone. */
export function judgeConservation(facts: CountedQueue | Recount): readonly Discrepancy[] {
  if (!("stored" in facts)) return judgeCounters(facts, recount);
  const found = judgeRecount(facts);
  return [...found, ...judgeCounters(facts, found.length === 0 ? onlyCounted : report)];
}

/** `remedy`: of counters that do not add up. */
function judgeCounters(facts: CountedQueue, remedy: string): Discrepancy[] {
  const found: Discrepancy[] = [];
  const { backlog, held } = facts;
  const imbalance = imbalanceOf(facts);
  if (imbalance !== 0) {
    const what =
      imbalance > 0
        ? `accepted messages unaccounted for: ${imbalance}`
        : `messages that left or are held, but were never accepted: ${-imbalance}`;
    found.push({ code: "UNBALANCED", text: `${what} (${sum(facts)})`, remedy });
  }
  if (backlog.count !== held) {
    const text = `backlog as counted: ${backlog.count}; messages ready, delayed or leased: ${held}`;
    found.push({ code: "MISCOUNTED", text, remedy: restart });
  }
  return found;
}

function judgeRecount(facts: Recount): Discrepancy[] {
  const found: Discrepancy[] = [];
  const { stored, backlog, stranded, missing, doubled, unreadable } = facts;
  if (missing > 0) {
    const text = `messages that wait or are leased, but are no longer stored: ${missing}`;
    found.push({ code: "MISSING", text, remedy: restore });
  }
  if (unreadable > 0) {
    found.push({ code: "UNREADABLE", text: `stored messages that cannot be read: ${unreadable}`, remedy: restore });
  }
  if (stranded > 0) {
    const text = `messages that are stored but wait nowhere, so that no consumer would get them: ${stranded}`;
    found.push({ code: "STRANDED", text, remedy: restart });
  }
  if (doubled > 0) {
    const text = `messages that wait in two places, so that consumers would get them twice: ${doubled}`;
    found.push({ code: "DOUBLED", text, remedy: restart });
  }
  if (stored.count !== backlog.count || stored.bytes !== backlog.bytes) {
    const text = `stored: ${stored.count} (${stored.bytes} bytes); backlog as counted: ${backlog.count} (${backlog.bytes} bytes)`;
    found.push({ code: "RECOUNT_DIFFERS", text, remedy: report });
  }
  return found;
}

function sum({ accounting, held }: CountedQueue): string {
  const { accepted, acked, deadLettered, expired, purged, dropped } = accounting;
  return `${accepted} accepted; ${held} held + ${acked} acked + ${deadLettered} dead-lettered + ${expired} expired + ${purged} purged + ${dropped} dropped`;
}
