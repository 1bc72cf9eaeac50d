// What workerd writes to stdout and stderr, told apart: the Worker's console, uncaught exceptions, words of the runtime itself.
//
// workerd runs with structured logging and --verbose; every line is JSON. Console lines have a numeric timestamp and no
// `source`; the runtime's own have a `source` (file and line in workerd). Forms checked against workerd 2026-10-23; the tests
// of logs and errors fail when a newer one writes them differently. A tail Worker would tell the same, but costs every request
// an invocation more (measured: 46 to 86 µs of CPU for a trivial fetch), so it is only attached while somebody watches.

export type ConsoleLevel = "debug" | "info" | "log" | "warn" | "error";

export type RuntimeOutput =
  | { readonly kind: "console"; readonly level: ConsoleLevel; readonly text: string }
  /** An exception that nobody in the Worker caught. */
  | { readonly kind: "uncaught"; readonly name: string; readonly message: string; readonly stack: string | undefined }
  /** A request of the Worker's `fetch` failed with an uncaught exception, reported just before. `text` is `Name: message`. */
  | { readonly kind: "fetchFailed"; readonly text: string }
  /** The same as an exception reported before, or one thrown by the runtime itself, for want of a handler say. */
  | { readonly kind: "restated"; readonly name: string; readonly message: string }
  | { readonly kind: "runtime"; readonly level: ConsoleLevel; readonly text: string };

const uncaughtPattern = /^uncaught exception; source = ([^;]*); (stack|exception) = ([\s\S]*)$/;
/** Sources of what a process that reports its invocations says a second time. Source: `UncaughtExceptionSource` in worker.c++. */
const restatingSources = new Set(["Uncaught (async)", "Uncaught (in response)"]);
const fetchFailedPattern = /^Uncaught exception: [^\s]+: failed: (?:remote\.)?jsg\.([\s\S]*)$/;
/** In brackets the name that the Worker sees. */
const domException = /^DOMException\((\w+)\)/;
/** Service-worker scripts write their console through the runtime's own log. */
const scriptConsolePrefix = "console.log(); message() = ";
const traceAddresses = /\n?stack: (?:\S+@[0-9a-f]+\s*)+$/;
const restatedPattern =
  /^uncaught exception; exception = (?:\S+: failed: (?:remote\.)?jsg\.(\w+)(?:\(\w+\))?: ([\s\S]*))?/;

/** `undefined`: the line says nothing that another line does not say better. */
export function readOutput(line: string, isCut: boolean, stream: "stdout" | "stderr"): RuntimeOutput | undefined {
  const entry = parseEntry(line, isCut);
  if (entry === undefined) {
    if (line.trim() === "") return undefined;
    return { kind: "console", level: stream === "stderr" ? "error" : "log", text: cutMark(line, isCut) };
  }
  const text = cutMark(entry.message, isCut);
  if (entry.source === undefined) return { kind: "console", level: levelOf(entry.level), text };
  return readRuntimeEntry(text, levelOf(entry.level));
}

function readRuntimeEntry(text: string, level: ConsoleLevel): RuntimeOutput | undefined {
  if (text.startsWith(scriptConsolePrefix)) {
    return { kind: "console", level: "log", text: scriptConsoleText(text.slice(scriptConsolePrefix.length)) };
  }
  const uncaught = uncaughtPattern.exec(text);
  if (uncaught !== null) {
    const [, source = "", form, words = ""] = uncaught;
    const error = readError(words, form === "stack");
    if (!restatingSources.has(source)) return { kind: "uncaught", ...error };
    return { kind: "restated", name: error.name, message: error.message };
  }
  const restated = restatedPattern.exec(text.replace(traceAddresses, ""));
  if (restated !== null) {
    const [, name, message] = restated;
    return name === undefined || message === undefined ? undefined : { kind: "restated", name, message };
  }
  const failed = fetchFailedPattern.exec(text);
  if (failed !== null) return { kind: "fetchFailed", text: (failed[1] ?? "").replace(domException, "$1") };
  return { kind: "runtime", level, text: text.replace(traceAddresses, "") };
}

/** `Name: message` and the lines of the stack, as `error.stack` has them. A thrown value that is no error is its own text. */
function readError(text: string, isStack: boolean): { name: string; message: string; stack: string | undefined } {
  const stackAt = isStack ? text.search(/\n {4}at /) : -1;
  const head = stackAt === -1 ? text : text.slice(0, stackAt);
  const named = isStack ? /^([\p{L}_$][\p{L}\p{N}_$.]*)(?:: ([\s\S]*))?$/u.exec(head) : null;
  const stack = stackAt === -1 ? undefined : text;
  if (named === null) return { name: "Error", message: head, stack };
  return { name: named[1] ?? "Error", message: named[2] ?? "", stack };
}

interface Entry {
  readonly level: string;
  readonly message: string;
  readonly source: string | undefined;
}

function parseEntry(line: string, isCut: boolean): Entry | undefined {
  if (!line.startsWith('{"timestamp":')) return undefined;
  let value: unknown;
  try {
    // What was cut ends inside the message, perhaps inside an escape.
    value = JSON.parse(isCut ? `${line.replace(/\\[^"\\]{0,5}$/, "").replace(/\\$/, "")}"}` : line);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null || !("message" in value) || typeof value.message !== "string")
    return undefined;
  const level = "level" in value && typeof value.level === "string" ? value.level : "log";
  const source = "source" in value && typeof value.source === "string" ? value.source : undefined;
  return { level, message: value.message, source };
}

const levels: Readonly<Record<string, ConsoleLevel>> = {
  debug: "debug",
  trace: "debug",
  info: "info",
  log: "log",
  warn: "warn",
  warning: "warn",
  error: "error",
  fatal: "error",
};

const levelOf = (text: string): ConsoleLevel => levels[text] ?? "log";

const cutMark = (text: string, isCut: boolean): string => (isCut ? `${text} … (cut)` : text);

/** The runtime gives the arguments as a JSON list. */
function scriptConsoleText(list: string): string {
  try {
    const parts: unknown = JSON.parse(list);
    if (Array.isArray(parts)) {
      return parts.map((part: unknown) => (typeof part === "string" ? part : JSON.stringify(part))).join(" ");
    }
  } catch {
    // Cut short: shown as it came.
  }
  return list;
}
