// What a command may touch of the world around it: where it reads, writes and stands.

import { exitCodes } from "./command-failure.ts";
import { logOutput } from "./log-output.ts";

/** The part of `process.stdout` that commands use. */
export interface TextOutput {
  /** False: it has enough for now, and calls back once it wants more. */
  write(text: string): unknown;
  once?(event: "drain", listener: () => void): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

/** The part of `process.stdin` that commands use. */
export interface TextInput extends AsyncIterable<Uint8Array | string> {
  readonly isTTY?: boolean;
  setRawMode?(on: boolean): unknown;
  on(event: "data", listener: (data: Uint8Array | string) => void): unknown;
  off(event: "data", listener: (data: Uint8Array | string) => void): unknown;
  resume(): unknown;
  pause(): unknown;
}

export interface Terminal {
  readonly stdin: TextInput;
  readonly stdout: TextOutput;
  readonly stderr: TextOutput;
  /** Where a server's log goes; stdout when absent. Asked for by a process that goes on when nothing can be written any more. */
  readonly log?: () => TextOutput;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
}

/** The terminal, or whatever stands in for it, that this process was started in. */
export function processTerminal(): Terminal {
  const { stdin, stdout, stderr, env } = process;
  let isServing = false;
  stdout.on("error", (error: NodeJS.ErrnoException) => {
    // `millrace … | head`: whoever reads has seen enough, which is no failure of this command.
    if (error.code === "EPIPE") process.exit();
    if (isServing) return;
    stderr.write(`millrace: cannot write what there is to say: ${error.message}\n`);
    process.exit(exitCodes.failure);
  });
  stderr.on("error", () => undefined); // there is nowhere left to tell it
  const log = (): TextOutput => {
    isServing = true;
    return logOutput(stdout.fd, stdout);
  };
  return { stdin, stdout, stderr, log, env, cwd: process.cwd() };
}
