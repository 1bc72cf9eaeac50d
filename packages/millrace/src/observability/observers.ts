// Lets others see every event beside the log: metrics, the live feed of a Worker's log.

import type { LogFields, Logger } from "../core/index.ts";

/** Sees every event, whatever the log's level. Called inline: it must be quick and must not throw. */
export type EventObserver = (event: string, fields: LogFields) => void;

const nothing: LogFields = {};

/** A logger that shows each event to the observers, in order, and then to the logger given. */
export function observeLogger(logger: Logger, ...observers: readonly EventObserver[]): Logger {
  const tell = (level: keyof Logger, event: string, fields: LogFields = nothing): void => {
    for (const observe of observers) observe(event, fields);
    logger[level](event, fields);
  };
  return {
    debug: (event, fields) => tell("debug", event, fields),
    info: (event, fields) => tell("info", event, fields),
    warn: (event, fields) => tell("warn", event, fields),
    error: (event, fields) => tell("error", event, fields),
  };
}
