// Runs a command line. The public surface of the commands.

import { CommanderError } from "commander";
import { exitCodes, CommandFailure, failureText } from "./command-failure.ts";
import type { CommandContext } from "./command-context.ts";
import { splitAtDashes } from "./argument-split.ts";
import { buildProgram } from "./program.ts";
import type { StartServer } from "./server-port.ts";
import { processTerminal } from "./terminal.ts";
import type { Terminal } from "./terminal.ts";

export type { RunningServer, StartServer } from "./server-port.ts";
export type { Terminal } from "./terminal.ts";

export interface CliDependencies {
  readonly startServer: StartServer;
  /** Of the package. */
  readonly version: string;
  /** This process's own when absent. */
  readonly terminal?: Terminal;
}

/**
 * Runs the command line given without the program's own name. Answers the exit code: 0 done, 1 failed, 2 called wrongly.
 * Never rejects: whatever goes wrong is told on stderr.
 */
export async function run(argv: readonly string[], dependencies: CliDependencies): Promise<number> {
  const terminal = dependencies.terminal ?? processTerminal();
  let exitCode: number = exitCodes.success;
  const { before, after } = splitAtDashes(argv);
  const context: CommandContext = {
    terminal,
    startServer: dependencies.startServer,
    version: dependencies.version,
    setExitCode: (code) => (exitCode = code),
  };
  const program = buildProgram(context, after);
  try {
    if (before.length === 0) program.outputHelp();
    else await program.parseAsync(before, { from: "user" });
    return exitCode;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.success : exitCodes.usage; // told already
    terminal.stderr.write(`millrace: ${failureText(error)}\n`);
    return error instanceof CommandFailure ? error.exitCode : exitCodes.failure;
  }
}
