// What `millrace doctor` says about messages: whether all that were accepted are accounted for.

import type { CommandContext } from "../command-context.ts";
import { CommandFailure, failureText } from "../command-failure.ts";
import { accountingText, violationText } from "../accounting-text.ts";
import { accountingView } from "../../contract/rest/index.ts";
import { isMillraceError } from "../../core/index.ts";
import type { StorageEngine } from "../../core/index.ts";
import { plural } from "../../observability/index.ts";
import { isLeftOfData } from "../backup/data-place.ts";
import { openOfflineData, readCounters, recountAll } from "../backup/offline-data.ts";
import { listQueues } from "../queue-lookup.ts";
import { createRestClient } from "../rest-client.ts";
import { findTarget } from "../target.ts";
import type { TargetOptions } from "../target.ts";

interface Verdict {
  readonly verdict: "good" | "note" | "bad";
  readonly text: string;
}

/** Asks the server, or reads its data where none runs. `deep`: every message is read. */
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

/** Where no server runs, in its data itself. Counters take a moment; while all messages are read, no server can start there. */
async function checkOffline(data: string, deep: boolean): Promise<Verdict> {
  const opened = await openOrTell(data);
  if ("verdict" in opened) return opened;
  await using engine = opened;
  const sums = { queues: 0, accepted: 0, held: 0 };
  const problems: string[] = [];
  const checked = deep ? await recountAll(engine, () => undefined) : await readCounters(engine);
  for (const { queue, counted, discrepancies } of checked) {
    sums.queues += 1;
    sums.accepted += counted.accounting.accepted;
    sums.held += counted.held;
    problems.push(...discrepancies.map(({ text, remedy }) => `${queue.name}: ${text}. ${remedy}`));
  }
  if (problems.length > 0) return { verdict: "bad", text: problems.join("\n     ") };
  return { verdict: "good", text: goodText(sums, deep) };
}

async function openOrTell(data: string): Promise<StorageEngine | Verdict> {
  try {
    return await openOfflineData(data);
  } catch (error) {
    if (error instanceof CommandFailure && (await isLeftOfData(data))) {
      const text = `the database that was in ${data} is gone: there is no messages.db, though a server has been there. Put it back, or restore a backup into another folder; a server that is started there begins anew`;
      return { verdict: "bad", text };
    }
    if (error instanceof CommandFailure) return { verdict: "note", text: `there are none yet in ${data}` };
    if (isMillraceError(error, "DATA_LOCKED")) return { verdict: "note", text: `not checked: ${failureText(error)}` };
    throw error;
  }
}

function goodText(
  { queues, accepted, held }: { readonly queues: number; readonly accepted: number; readonly held: number },
  deep: boolean,
): string {
  const how = deep ? "read one by one" : "by the counters; --deep reads every message";
  return `${plural(queues, "queue")}, ${accepted} accepted, ${held} held: all accounted for (${how})`;
}
