// One event as people read it: time, who, what; more lines underneath where there are any.
//
//   12:03:01.123  my-app-events → my-app  batch of 10

import { styleText } from "node:util";
import type { LogFields } from "../core/index.ts";
import { subjectFields } from "./events.ts";
import type { DescribedEvent, LogLevel } from "./events.ts";
import { EventFields } from "./event-fields.ts";

export interface PrettyOptions {
  readonly colors: boolean;
}

export function renderPretty(
  at: Date,
  name: string,
  fields: LogFields,
  described: DescribedEvent,
  { colors }: PrettyOptions,
): string {
  const reader = new EventFields(fields);
  const { definition, level } = described;
  const subject = printable(definition?.subject(reader) ?? unknownSubject(reader));
  const text = printable(definition?.text(reader) ?? unknownText(name, fields));
  const detail = definition === undefined ? stackOf(fields) : definition.detail?.(reader);

  const paint = (style: Parameters<typeof styleText>[0], part: string): string =>
    colors ? styleText(style, part, { validateStream: false }) : part;
  const [first = "", ...rest] = text.split("\n");
  const more = [...rest, ...(detail === undefined ? [] : printable(detail).split("\n"))];
  const marked = level === "info" || level === "debug" ? first : paint(levelStyles[level], first);
  const mark = colors ? "" : levelMarks[level];
  const head = `${paint("dim", clockTime(at))}  ${paint(subjectStyle(subject), subject)}  ${mark}${marked}`;
  return [head, ...more.map((line) => paint("dim", `${indent}${line}`))].join("\n");
}

const indent = " ".repeat("12:03:01.123  ".length);

const levelStyles = { warn: "yellow", error: "red" } as const;

/** Without colours the level must be readable all the same. */
const levelMarks: Readonly<Record<LogLevel, string>> = { debug: "", info: "", warn: "! ", error: "!! " };

const subjectStyles = ["cyan", "magenta", "blue", "green"] as const;

/** The same name has the same colour in every run. */
function subjectStyle(subject: string): (typeof subjectStyles)[number] {
  let sum = 0;
  for (const letter of subject) sum = (sum * 31 + (letter.codePointAt(0) ?? 0)) % 65_521;
  return subjectStyles[sum % subjectStyles.length] ?? "cyan";
}

function clockTime(at: Date): string {
  const ms = String(at.getMilliseconds()).padStart(3, "0");
  return `${twoDigits(at.getHours())}:${twoDigits(at.getMinutes())}:${twoDigits(at.getSeconds())}.${ms}`;
}

const twoDigits = (n: number): string => String(n).padStart(2, "0");

function unknownSubject(fields: EventFields): string {
  const known = subjectFields.find((name) => fields.has(name));
  return known === undefined ? "millrace" : fields.text(known);
}

/** `lease.lost  count=3 detail="no answer"`. */
function unknownText(name: string, fields: LogFields): string {
  const shown = Object.entries(fields)
    .filter(([key, value]) => value !== undefined && !subjectFields.some((known) => known === key))
    .map(([key, value]) => `${key}=${shownValue(value)}`);
  return [name, ...shown].join(" ");
}

function shownValue(value: unknown): string {
  if (value instanceof Error) return JSON.stringify(value.message);
  if (typeof value === "string") return /^[\w./:@+-]+$/.test(value) ? value : JSON.stringify(value);
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    return "?"; // circular, or a BigInt inside
  }
}

function stackOf(fields: LogFields): string | undefined {
  if (typeof fields["stack"] === "string") return fields["stack"];
  const error = Object.values(fields).find((value) => value instanceof Error);
  return error instanceof Error ? error.stack : undefined;
}

/** Workers write what they like: colours may pass, anything else that moves a terminal's cursor may not. */
function printable(text: string): string {
  return text.replaceAll("\t", "  ").replaceAll(notPrintable, "").trimEnd();
}

// Escape sequences but colours (CSI, OSC, then any other), and control characters but newline. Tabs are replaced before.
const notPrintable = new RegExp(
  [
    String.raw`\u001B(?!\[[\d;]*m)(?:\[[\d;?]*[ -/]*[@-~]|\][^\u0007\u001B]*(?:\u0007|\u001B\\)?|.)?`,
    String.raw`[\u0000-\u0009\u000B-\u001A\u001C-\u001F\u007F-\u009F]`,
  ].join("|"),
  "g",
);
