// What a command may touch of the world around it: where it reads, writes and stands.

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
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
}

/** The terminal, or whatever stands in for it, that this process was started in. */
export function processTerminal(): Terminal {
  return { stdin: process.stdin, stdout: process.stdout, stderr: process.stderr, env: process.env, cwd: process.cwd() };
}
