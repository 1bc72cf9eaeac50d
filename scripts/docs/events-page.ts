// docs/reference/events.md: the events of the log. What is said about their fields stands in comments of the catalogue.

import { readFileSync } from "node:fs";
import { EventFields } from "../../packages/millrace/src/observability/event-fields.ts";
import { eventCatalogue } from "../../packages/millrace/src/observability/events.ts";
import type { EventDefinition } from "../../packages/millrace/src/observability/events.ts";
import { code, table } from "./markdown.ts";

const source = readFileSync(new URL("../../packages/millrace/src/observability/events.ts", import.meta.url), "utf8");

/** Values that a reader of the example column recognises; other fields show as dots. */
const samples: Readonly<Record<string, unknown>> = {
  account_id: "0123456789abcdef0123456789abcdef",
  acked: 9,
  api: "http://127.0.0.1:8788/client/v4",
  attempts: 4,
  attempts_max: 2,
  attempts_min: 1,
  config: "wrangler.jsonc",
  console: "http://127.0.0.1:8788/",
  count: 10,
  deadLetterQueue: "my-app-events-dlq",
  delayMs: 5_000,
  error: "the mail service is down",
  expected: false,
  file: "src/index.js",
  handler: "queue",
  level: "info",
  message: "something happened",
  method: "POST",
  ms: 12,
  outcome: "ok",
  path: "/signup",
  queue: "my-app-events",
  retried: 1,
  retry_in_ms: 5_000,
  signal: "SIGKILL",
  silentMs: 30_000,
  status: 202,
  text: "mail sent",
  url: "http://localhost:8787",
  version: 3,
  worker: "my-app",
  workers: "http://127.0.0.1:8787",
};

export function eventsPage(): string {
  const sections = new Map<string, string[][]>();
  for (const [name, definition] of Object.entries(eventCatalogue)) {
    const { section, comment } = findInSource(name);
    const { fields, meaning } = readComment(comment);
    const rows = sections.get(section) ?? [];
    sections.set(section, rows);
    rows.push([
      code(name),
      level(definition),
      fields.map(code).join(", "),
      sentence(meaning),
      example(definition, fields),
    ]);
  }
  const shown = [...sections].map(
    ([title, rows]) => `## ${title}\n\n${table(["Event", "Level", "Fields", "Meaning", "As people read it"], rows)}`,
  );
  return `# Events

The server's log is a sequence of events. With \`--log-format json\` each is one line with its name, level, time and fields; on a terminal people read a line instead. Fields marked \`?\` may be absent. Times that end in \`ms\` are milliseconds. Bodies of messages are never logged.

Events of a level below \`--log-level\` are not written. *Story* events are shown by \`millrace dev\` whatever their level; *always* means at any level.

${shown.join("\n\n")}
`;
}

function findInSource(name: string): { readonly section: string; readonly comment: string } {
  const at = source.search(new RegExp(String.raw`^ {2}"?${name.replaceAll(".", String.raw`\.`)}"?: event\(`, "m"));
  if (at === -1) throw new Error(`events.ts defines ${name} in a form that is not understood here`);
  const before = source.slice(0, at);
  const section = [...before.matchAll(/^ {2}\/\/ ── (.+?) ─*$/gm)].at(-1)?.[1] ?? "events";
  const comment = /\/\*\*((?:[^*]|\*(?!\/))*)\*\/\s*$/.exec(before)?.[1] ?? "";
  return { section: `${section.slice(0, 1).toUpperCase()}${section.slice(1)}`, comment };
}

interface Described {
  readonly fields: readonly string[];
  readonly meaning: string;
}

/**
 * Reads `queue, count, ms?: what it means`, with a full stop or nothing instead of the colon, and
 * `As \`batch.completed\`, and error: what it means`.
 */
function readComment(comment: string): Described {
  const text = comment
    .replaceAll(/^\s*\* ?/gm, "")
    .replaceAll(/\s+/g, " ")
    .trim();
  const end = endOfFields(text);
  const head = text.slice(0, end);
  const rest = text.slice(end + 1).trim();
  const [, other, more] = /^As `([\w.]+)`(?:, and (.+))?$/.exec(head) ?? [];
  if (other !== undefined) {
    const fields = [
      ...readComment(findInSource(other).comment).fields,
      ...(more === undefined ? [] : readFields(more).fields),
    ];
    return { fields, meaning: rest };
  }
  const { fields, notes } = readFields(head);
  return { fields, meaning: [rest, ...notes].filter((part) => part !== "").join(" ") };
}

/** The first colon, or full stop at the end of a word, outside brackets and code. */
function endOfFields(text: string): number {
  const bare = text.replaceAll(/`[^`]*`|\([^)]*\)/g, (match) => "_".repeat(match.length));
  const end = bare.search(/:|\.(?= |$)/);
  return end === -1 ? text.length : end;
}

function readFields(text: string): { readonly fields: readonly string[]; readonly notes: readonly string[] } {
  const notes: string[] = [];
  const fields = splitOutsideBrackets(text).flatMap((part) => {
    const [, name, note] = /^(\w+\??)(?: \((.+)\))?$/.exec(part) ?? [];
    if (name === undefined) {
      notes.push(`${part}.`); // words that are no field stay words
      return [];
    }
    if (note !== undefined) notes.push(`${code(name.replace("?", ""))}: ${note}.`);
    return [name];
  });
  return { fields, notes };
}

function splitOutsideBrackets(text: string): string[] {
  return text
    .split(/,(?![^(]*\))| or (?![^(]*\))/)
    .map((part) => part.trim())
    .filter((part) => part !== "");
}

/** Words are read out of the function that decides; one that decides by nothing but the call has none. */
function level({ level: decided, always, story }: EventDefinition): string {
  const words =
    typeof decided === "string"
      ? decided
      : [...new Set(Array.from(decided.toString().matchAll(/"(debug|info|warn|error)"/g), ([, word]) => word))].join(
          " or ",
        );
  const isOpen = typeof decided !== "string" && !words.includes(" or ");
  const shown = isOpen ? [words, "as given"].filter((part) => part !== "").join(", or ") : words;
  if (always) return `${shown}, *always*`;
  return story ? `${shown}, *story*` : shown;
}

function example(definition: EventDefinition, fields: readonly string[]): string {
  const values = fields.map((field) => field.replace("?", "")).map((field) => [field, samples[field] ?? "…"]);
  const read = new EventFields(Object.fromEntries(values) as Record<string, unknown>);
  return code(`${definition.subject(read)}  ${definition.text(read)}`);
}

const sentence = (text: string): string => (text === "" ? "" : `${text.slice(0, 1).toUpperCase()}${text.slice(1)}`);
