// What `millrace doctor` says about messages: whether all that were accepted are accounted for.

import type { CommandContext } from "../command-context.ts";
import { accountingText, violationText } from "../accounting-text.ts";
import { accountingView } from "../../contract/rest/index.ts";
import { plural } from "../../observability/index.ts";
import { openOfflineData, recountAll } from "../backup/offline-data.ts";
import { listQueues } from "../queue-lookup.ts";
import { createRestClient } from "../rest-client.ts";
import { findTarget } from "../target.ts";
import type { TargetOptions } from "../target.ts";

interface Verdict {
  readonly verdict: "good" | "note" | "bad";
  readonly text: string;
}

/** Asks a running server. `deep`: every message is read. */
export async function checkMessages(
  { terminal }: CommandContext,
  options: TargetOptions & { readonly deep?: boolean },
): Promise<Verdict> {
  const found = await findTarget(options, terminal);
  if (found.kind === "none") return await checkOffline(found.data, options.deep === true);
  const client = createRestClient(found.target);
  const deep = options.deep === true;
  const sums = { queues: 0, accepted: 0, held: 0 };
  const problems: string[] = [];
  for (const { queue_id, queue_name } of await listQueues(client)) {
    const path = `/millrace/queues/${queue_id}/accounting${deep ? "?deep=true" : ""}`;
    const accounting = await client.call("GET", path, accountingView);
    sums.queues += 1;
    sums.accepted += accounting.accepted;
    sums.held += accounting.held;
    const violation = violationText(accounting);
    if (violation !== undefined) problems.push(`${queue_name}: ${accountingText(accounting)}\n${violation}`);
  }
  if (problems.length > 0) return { verdict: "bad", text: problems.join("\n").replaceAll("\n", "\n     ") };
  return { verdict: "good", text: goodText(sums, deep) };
}

/** Where no server runs, and only when asked to read everything: while it does, no server can start there. */
async function checkOffline(data: string, deep: boolean): Promise<Verdict> {
  if (!deep)
    return { verdict: "note", text: "not checked, for no server runs; --deep reads them in the data folder itself" };
  await using engine = await openOfflineData(data);
  const sums = { queues: 0, accepted: 0, held: 0 };
  const problems: string[] = [];
  for (const { queue, recount, discrepancies } of await recountAll(engine, () => undefined)) {
    sums.queues += 1;
    sums.accepted += recount.accounting.accepted;
    sums.held += recount.held;
    problems.push(...discrepancies.map(({ text, remedy }) => `${queue.name}: ${text}. ${remedy}`));
  }
  if (problems.length > 0) return { verdict: "bad", text: problems.join("\n     ") };
  return { verdict: "good", text: goodText(sums, true) };
}

function goodText(
  { queues, accepted, held }: { readonly queues: number; readonly accepted: number; readonly held: number },
  deep: boolean,
): string {
  const how = deep ? "read one by one" : "by the counters; --deep reads every message";
  return `${plural(queues, "queue")}, ${accepted} accepted, ${held} held: all accounted for (${how})`;
}
