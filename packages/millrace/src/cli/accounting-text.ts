// A queue's accounting in words.

import type { AccountingView } from "../contract/rest/index.ts";

/** `1200 accepted = 10 in the backlog + 1180 acked + 10 purged`; what never happened is left out. */
export function accountingText(view: AccountingView): string {
  const parts = [
    [view.acked, "acked"],
    [view.dead_lettered, "dead-lettered"],
    [view.expired, "expired"],
    [view.purged, "purged"],
    [view.dropped, "dropped"],
  ] as const;
  const shown = parts.filter(([count]) => count !== 0).map(([count, word]) => ` + ${count} ${word}`);
  const sign = view.imbalance === 0 ? "=" : "≠";
  return `${view.accepted} accepted ${sign} ${view.held} in the backlog${shown.join("")}`;
}

/** What is wrong, one finding a line with what to do; `undefined`: nothing is. */
export function violationText(view: AccountingView): string | undefined {
  if (view.holds) return undefined;
  return view.findings.map(({ text, remedy }) => `${text}. ${remedy}`).join("\n");
}
