// What hosted Workers say: lines of their consoles and exceptions nobody caught, for the server's log and for whoever listens.

import type { Clock, EpochMs, Logger, WorkerName } from "../core/index.ts";
import type { ConsoleLevel } from "./runtime-output.ts";
import type { UncaughtError } from "./uncaught-errors.ts";

export type WorkerLogEntry =
  | {
      readonly kind: "console";
      readonly worker: WorkerName;
      readonly level: ConsoleLevel;
      readonly text: string;
      readonly at: EpochMs;
    }
  | {
      readonly kind: "error";
      readonly worker: WorkerName;
      /** `unknown`: outside any invocation that failed with it, for example in a promise left running. */
      readonly handler: UncaughtError["handler"];
      readonly name: string;
      readonly message: string;
      readonly stack: string | undefined;
      readonly at: EpochMs;
    };

/** Cloudflare keeps 256 KB of console for a whole invocation; a line of this length is no line any more. */
const longestText = 16_384;
const mostLinesPerSecond = 1_000;

interface Window {
  readonly startedAt: EpochMs;
  lines: number;
}

export class WorkerLog {
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #listeners = new Set<(entry: WorkerLogEntry) => void>();
  readonly #windows = new Map<WorkerName, Window>();

  constructor(logger: Logger, clock: Clock) {
    this.#logger = logger;
    this.#clock = clock;
  }

  /** Calls back for every entry. Returns the way to stop listening. */
  onLog(listener: (entry: WorkerLogEntry) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  console(worker: WorkerName, level: ConsoleLevel, text: string): void {
    const at = this.#clock.now();
    if (!this.#admit(worker, at)) return;
    const shown = bounded(text);
    this.#logger.info("worker.log", { worker, level, text: shown });
    this.#tell({ kind: "console", worker, level, text: shown, at });
  }

  error(worker: WorkerName, { handler, name, message, stack }: UncaughtError): void {
    const at = this.#clock.now();
    if (!this.#admit(worker, at)) return;
    const entry = {
      name: bounded(name),
      message: bounded(message),
      stack: stack === undefined ? undefined : bounded(stack),
    };
    const text = entry.message === "" ? entry.name : `${entry.name}: ${entry.message}`;
    this.#logger.error("worker.error", {
      worker,
      handler,
      message: text,
      ...(entry.stack === undefined ? {} : { stack: entry.stack }),
    });
    this.#tell({ kind: "error", worker, handler, ...entry, at });
  }

  forget(worker: WorkerName): void {
    this.#windows.delete(worker);
  }

  /** A Worker that writes without end must not take the server's log with it. */
  #admit(worker: WorkerName, at: EpochMs): boolean {
    let window = this.#windows.get(worker);
    if (window === undefined || at - window.startedAt >= 1_000) {
      if (window !== undefined && window.lines > mostLinesPerSecond) {
        const left = window.lines - mostLinesPerSecond;
        const text = `${left} lines left out: more than ${mostLinesPerSecond} in a second`;
        this.#logger.warn("worker.log", { worker, level: "warn", text });
      }
      window = { startedAt: at, lines: 0 };
      this.#windows.set(worker, window);
    }
    window.lines += 1;
    return window.lines <= mostLinesPerSecond;
  }

  #tell(entry: WorkerLogEntry): void {
    for (const listener of this.#listeners) listener(entry);
  }
}

function bounded(text: string): string {
  return text.length <= longestText
    ? text
    : `${text.slice(0, longestText)} … (${text.length - longestText} more characters)`;
}
