// What `millrace doctor` says about messages: whether all that were accepted are accounted for.

import type { CommandContext } from "../command-context.ts";
import { accountingText, violationText } from "../accounting-text.ts";
import { accountingView } from "../../contract/rest/index.ts";
import { plural } from "../../observability/index.ts";
import { listQueues } from "../queue-lookup.ts";
import { createRestClient } from "../rest-client.ts";
import { findTarget } from "../target.ts";
import type { TargetOptions } from "../target.ts";

interface Verdict {
  readonly verdict: "good" | "note" | "bad";
  readonly text: string;
}

/** Asks a running server. `deep`: it reads every message. */
export async function checkMessages(
  { terminal }: CommandContext,
  options: TargetOptions & { readonly deep?: boolean },
): Promise<Verdict> {
  const found = await findTarget(options, terminal);
  if (found.kind === "none") return { verdict: "note", text: "only a running server can tell" };
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
  const how = deep ? "read one by one" : "by the counters; --deep reads every message";
  const { queues, accepted, held } = sums;
  return {
    verdict: "good",
    text: `${plural(queues, "queue")}, ${accepted} accepted, ${held} held: all accounted for (${how})`,
  };
}
