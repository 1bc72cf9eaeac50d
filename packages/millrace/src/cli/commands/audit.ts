// `millrace audit`: who changed what, and when.

import type { Command } from "commander";
import { z } from "zod";
import { auditEntryView } from "../../contract/rest/index.ts";
import { clientAction } from "../client-command.ts";
import type { Outcome } from "../client-command.ts";
import type { CommandContext } from "../command-context.ts";
import { examples } from "../help-examples.ts";
import { numberWithin } from "../number-option.ts";
import type { RestClient } from "../rest-client.ts";
import { table, when } from "../tables.ts";

interface AuditOptions {
  readonly limit: number;
  readonly before?: number;
}

const entryList = z.array(auditEntryView);
type AuditEntry = z.infer<typeof auditEntryView>;

export function addAudit(program: Command, context: CommandContext): void {
  const entry = (max: number) => numberWithin({ min: 1, max, unit: "entries" });
  const audit = program
    .command("audit")
    .summary("who changed what, and when")
    .description(
      "Shows the audit log, newest first: changes to queues, consumers, Workers and tokens. Messages are not in it.",
    )
    .option("--limit <entries>", "how many", entry(1_000), 50)
    .option("--before <number>", "older entries than the one with this number", entry(Number.MAX_SAFE_INTEGER));
  clientAction(audit, context, showAudit);
  examples(
    audit,
    ["millrace audit"],
    ["millrace audit --limit 100 --before 4711", "what came before entry 4711"],
    ["millrace audit --json", "for programs"],
  );
}

async function showAudit(client: RestClient, { limit, before }: AuditOptions): Promise<Outcome> {
  const from = before === undefined ? "" : `&before=${before}`;
  const entries = await client.call("GET", `/millrace/audit?limit=${limit}${from}`, entryList);
  return { json: entries, people: () => auditTable(entries, limit, before !== undefined) };
}

function auditTable(entries: readonly AuditEntry[], limit: number, goesOn: boolean): string {
  const oldest = entries.at(-1);
  if (oldest === undefined) return goesOn ? "Nothing is older." : "Nothing has been changed yet.";
  const rows = entries.map(({ number, when: at, actor, action, resource, details }) => [
    String(number),
    when(Date.parse(at)),
    actor,
    action,
    resource,
    detailText(details),
  ]);
  const shown = table(["NUMBER", "WHEN", "WHO", "WHAT", "ON", "DETAILS"], rows);
  return entries.length < limit ? shown : `${shown}\n\nOlder ones: millrace audit --before ${oldest.number}`;
}

/** `worker my-app`, or what changed: `delivery_delay_s 0 → 5`. Ids are for programs. */
function detailText(details: unknown): string {
  if (!isObject(details)) return "";
  const { before, after, ...facts } = details;
  if (isObject(before) && isObject(after)) {
    return Object.entries(after)
      .filter(([name, value]) => before[name] !== value)
      .map(([name, value]) => `${name} ${word(before[name])} → ${word(value)}`)
      .join(", ");
  }
  return Object.entries(facts)
    .filter(([name]) => !name.endsWith("_id") && name !== "tag")
    .map(([name, value]) => `${name} ${word(value)}`)
    .join(", ");
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

function word(value: unknown): string {
  if (Array.isArray(value)) return value.map(word).join(" ");
  return typeof value === "string" ? value : JSON.stringify(value);
}
