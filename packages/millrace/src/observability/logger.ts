// Writes events, one after another, as JSON lines for programs or as a story for people.

import { pino, stdSerializers } from "pino";
import type { LogFields, Logger } from "../core/index.ts";
import { describeEvent } from "./events.ts";
import type { LogLevel } from "./events.ts";
import { EventFields } from "./event-fields.ts";
import { renderPretty } from "./pretty.ts";

/** Where lines go: `process.stdout`, or anything that takes text. */
export interface LogDestination {
  /** May throw: the line is dropped then, and the log says so once it can be written again. */
  write(text: string): unknown;
  readonly isTTY?: boolean;
}

export interface LoggerOptions {
  readonly format: "pretty" | "json";
  /** The least that is written. */
  readonly level: LogLevel;
  /** Story events are written whatever their level. */
  readonly story: boolean;
  readonly destination: LogDestination;
  /** `NO_COLOR` and `TERM` decide about colours, which only a terminal gets. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** The wall clock; for tests. */
  readonly now?: () => Date;
}

const ranks: Readonly<Record<LogLevel, number>> = { debug: 0, info: 1, warn: 2, error: 3 };

export function createLogger(options: LoggerOptions): Logger {
  const write = options.format === "json" ? jsonWriter(options) : prettyWriter(options);
  const least = ranks[options.level];
  const put = dropping(write);

  const log = (calledLevel: LogLevel, name: string, fields: LogFields): void => {
    const described = describeEvent(name, new EventFields(fields), calledLevel);
    const { story = false, always = false } = described.definition ?? {};
    if (ranks[described.level] >= least || always || (options.story && story)) put(name, fields, described);
  };
  return {
    debug: (event, fields = {}) => log("debug", event, fields),
    info: (event, fields = {}) => log("info", event, fields),
    warn: (event, fields = {}) => log("warn", event, fields),
    error: (event, fields = {}) => log("error", event, fields),
  };
}

type Writer = (name: string, fields: LogFields, described: ReturnType<typeof describeEvent>) => void;

/** A full disk must not end who writes a log on it: lines are dropped as long as they cannot be written, and counted. */
function dropping(write: Writer): Writer {
  let dropped = 0;
  return (name, fields, described) => {
    try {
      if (dropped > 0) {
        const missing = { count: dropped };
        write("log.interrupted", missing, describeEvent("log.interrupted", new EventFields(missing), "warn"));
        dropped = 0;
      }
      write(name, fields, described);
    } catch {
      dropped += 1;
    }
  };
}

function prettyWriter({ destination, env = {}, now = () => new Date() }: LoggerOptions): Writer {
  const colors = destination.isTTY === true && !env["NO_COLOR"] && env["TERM"] !== "dumb";
  return (name, fields, described) => {
    destination.write(`${renderPretty(now(), name, fields, described, { colors })}\n`);
  };
}

function jsonWriter({ destination, now = () => new Date() }: LoggerOptions): Writer {
  const lines = pino(
    {
      level: "debug",
      base: null,
      timestamp: () => `,"time":"${now().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { error: stdSerializers.err },
    },
    { write: (line) => void destination.write(line) },
  );
  return (name, fields, { level }) => {
    // Scripts wait for this line: these fields and no others.
    if (name === "ready") destination.write(`${JSON.stringify({ event: name, ...fields })}\n`);
    else lines[level]({ event: name, ...withoutReserved(fields) });
  };
}

/** A line's own keys are not an event's to set: what is called `time` becomes `field_time`. `level` is in the line's already. */
function withoutReserved(fields: LogFields): LogFields {
  if (!("level" in fields || "time" in fields || "event" in fields)) return fields;
  const { level: _level, ...rest } = fields;
  return Object.fromEntries(
    Object.entries(rest).map(([key, value]) => [key === "time" || key === "event" ? `field_${key}` : key, value]),
  );
}
