// Why a command ends without success, and the exit code that tells scripts: 1 it failed, 2 it was called wrongly.

import { MillraceError } from "../core/index.ts";

export const exitCodes = { success: 0, failure: 1, usage: 2 } as const;

/** Ends the command with a sentence for people that says what to do. Thrown anywhere below a command. */
export class CommandFailure extends Error {
  override readonly name = "CommandFailure";
  readonly exitCode: number;

  constructor(message: string, options: ErrorOptions & { readonly exitCode?: number } = {}) {
    super(message, options);
    this.exitCode = options.exitCode ?? exitCodes.failure;
  }
}

/** A failure because the command was called wrongly. */
export function usageFailure(message: string): CommandFailure {
  return new CommandFailure(message, { exitCode: exitCodes.usage });
}

/** Any thrown value as a sentence. Only what nobody expected comes with its stack. */
export function failureText(error: unknown): string {
  if (error instanceof CommandFailure || error instanceof MillraceError) return error.message;
  if (!(error instanceof Error)) return String(error);
  return isOperating(error) ? error.message : (error.stack ?? error.message);
}

/** The operating system's errors have a code; defects of a program do not. */
function isOperating(error: Error): boolean {
  return "syscall" in error && "code" in error;
}
