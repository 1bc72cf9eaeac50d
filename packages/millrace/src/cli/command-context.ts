// What every command is given.

import type { StartServer } from "./server-port.ts";
import type { Terminal } from "./terminal.ts";

export interface CommandContext {
  readonly terminal: Terminal;
  readonly startServer: StartServer;
  readonly version: string;
  /** Ends the program with this code once the command is over; for commands that report failure without an error. */
  readonly setExitCode: (code: number) => void;
}

/** Prints a line for people or programs. */
export function print({ terminal }: CommandContext, text: string): void {
  terminal.stdout.write(`${text}\n`);
}

export function printJson(context: CommandContext, value: unknown): void {
  print(context, JSON.stringify(value, undefined, 2));
}

/** Says something beside the result, where it does not get into a pipe. */
export function note({ terminal }: CommandContext, text: string): void {
  terminal.stderr.write(`${text}\n`);
}
