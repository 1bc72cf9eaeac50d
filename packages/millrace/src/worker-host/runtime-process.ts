// One workerd process: started with a configuration, listening or failed within a deadline, its output read, its end noticed.

import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import type { Readable } from "node:stream";
import { LineSplitter } from "./line-splitter.ts";
import { withoutMachinePaths } from "./machine-paths.ts";
import { readOutput } from "./runtime-output.ts";
import type { RuntimeOutput } from "./runtime-output.ts";

export interface RuntimeStart {
  readonly binary: string;
  /** Also its working directory. */
  readonly folder: string;
  /** File name in the folder. */
  readonly config: string;
  readonly experimental: boolean;
  /** How many sockets the configuration has: it is ready when it listens on all. */
  readonly sockets: number;
  /** A listening descriptor of this process, for the socket of this name. */
  readonly passed?: { readonly socket: string; readonly descriptor: number } | undefined;
  readonly startTimeoutMs: number;
  readonly onOutput: (output: RuntimeOutput) => void;
  /**
   * Told before the process becomes workerd, which waits until this resolves: so no workerd is ever without somebody who would
   * end it.
   */
  readonly onSpawn: (pid: number) => void | Promise<void>;
  readonly onExit: (pid: number) => void;
}

export interface RuntimeExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** How it ended, in words. */
  readonly detail: string;
}

/** The runtime ended or kept silent before it listened. `message` is its own words, without this machine's paths. */
export class StartFailure extends Error {
  override readonly name = "StartFailure";
}

/**
 * Becomes workerd, the same process, when it is told to. A server that is killed before that has told nobody of the process yet:
 * the operating system closes the pipe then, and there is nothing to end.
 */
const launcher = `read -r go && [ "$go" = go ] && exec "$@" </dev/null`;

/** What a shell ends with when `exec` fails; workerd ends with neither. Source: POSIX, Shell & Utilities, 2.8.2. */
const notExecutable = 126;
const notFound = 127;

const longestLine = 65_536;
const mostStartErrors = 20;

export class RuntimeProcess {
  readonly pid: number;
  /** From spawn to listening. */
  readonly startupMs: number;
  /** Resolves when the process has ended and its output is read to the end. */
  readonly exited: Promise<RuntimeExit>;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, pid: number, startupMs: number, exited: Promise<RuntimeExit>) {
    this.#child = child;
    this.pid = pid;
    this.startupMs = startupMs;
    this.exited = exited;
  }

  /** Throws `StartFailure`; the process has ended then. Aborting the signal ends it too. */
  static async start(options: RuntimeStart, signal?: AbortSignal): Promise<RuntimeProcess> {
    signal?.throwIfAborted();
    const startedAt = performance.now();
    const { passed } = options;
    const flags = ["--verbose", "--control-fd=3", ...(options.experimental ? ["--experimental"] : [])];
    if (passed !== undefined) flags.push(`--socket-fd=${passed.socket}=4`);
    const command = [options.binary, "serve", ...flags, options.config];
    const child = spawn("/bin/sh", ["-c", launcher, "millrace-launcher", ...command], {
      cwd: options.folder,
      stdio: ["pipe", "pipe", "pipe", "pipe", ...(passed === undefined ? [] : [passed.descriptor])],
      // Its own session: a Ctrl-C in the terminal is for the server, which lets batches finish.
      detached: true,
      env: { NO_COLOR: "1", LANG: "C.UTF-8" },
    });
    const { pid } = child;
    if (pid === undefined) {
      const reason = await new Promise<Error>((resolve) => child.once("error", resolve));
      throw new StartFailure(`workerd could not be started: ${reason.message}`, { cause: reason });
    }
    void letGo(child, options.onSpawn(pid));
    const problems: string[] = [];
    readLines(child.stdout, (line, isCut) => tell(options, line, isCut, "stdout"));
    readLines(child.stderr, (line, isCut) => {
      const output = readOutput(line, isCut, "stderr");
      if (output?.kind === "runtime" && output.level === "error" && problems.length < mostStartErrors) {
        problems.push(output.text);
      }
      if (output !== undefined) options.onOutput(output);
    });
    const exited = new Promise<RuntimeExit>((resolve) => {
      child.once("close", (code, exitSignal) => {
        options.onExit(pid);
        resolve({ code, signal: exitSignal, detail: exitDetail(code, exitSignal) });
      });
    });
    const kill = (): void => void child.kill("SIGKILL");
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      kill();
    }, options.startTimeoutMs);
    signal?.addEventListener("abort", kill, { once: true });
    try {
      const failed = await Promise.race([listening(child, options.sockets), exited]);
      if (failed !== undefined) {
        signal?.throwIfAborted();
        throw new StartFailure(timedOut ? silence(options.startTimeoutMs) : startProblem(problems, failed));
      }
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", kill);
    }
    return new RuntimeProcess(child, pid, performance.now() - startedAt, exited);
  }

  get hasExited(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }

  /** Asks it to accept nothing more, to finish what it does, and then to end; however long that takes. */
  drain(): void {
    this.#child.kill("SIGTERM");
  }

  /** Asks it to finish what it does and end; kills it when it has not after `graceMs`. May be called again. */
  async stop(graceMs: number): Promise<void> {
    this.drain();
    const timer = setTimeout(() => this.kill(), graceMs);
    await this.exited;
    clearTimeout(timer);
  }
}

async function letGo(child: ChildProcess, known: void | Promise<void>): Promise<void> {
  child.stdin?.on("error", () => undefined); // it was ended meanwhile
  await known;
  child.stdin?.end("go\n");
}

function tell(options: RuntimeStart, line: string, isCut: boolean, stream: "stdout" | "stderr"): void {
  const output = readOutput(line, isCut, stream);
  if (output !== undefined) options.onOutput(output);
}

function readLines(stream: Readable | null, onLine: (line: string, isCut: boolean) => void): void {
  const splitter = new LineSplitter(longestLine, onLine);
  stream?.on("data", (bytes: Buffer) => splitter.push(bytes));
  stream?.on("end", () => splitter.end());
}

/** Resolves once workerd has reported that many listening sockets. Source: `--control-fd` in workerd's server.c++. */
async function listening(child: ChildProcess, sockets: number): Promise<undefined> {
  await new Promise<void>((resolve) => {
    let seen = 0;
    const splitter = new LineSplitter(longestLine, (line) => {
      if (line.includes('"event":"listen"') && (seen += 1) === sockets) resolve();
    });
    child.stdio[3]?.on("data", (bytes: Buffer) => splitter.push(bytes));
  });
}

const silence = (ms: number): string =>
  `The script did not finish loading within ${ms / 1_000} seconds; it must not loop or wait at its top level`;

function startProblem(problems: readonly string[], exit: RuntimeExit): string {
  if (exit.code === notExecutable || exit.code === notFound)
    return "workerd could not be started: this system does not execute it";
  if (problems.length === 0) return `The runtime ended while the script was loading: ${exit.detail}`;
  // "service user: " names our own configuration, which the author never saw.
  return withoutMachinePaths(problems.map((problem) => problem.replace(/^service user: /, "")).join("\n"));
}

function exitDetail(code: number | null, signal: NodeJS.Signals | null): string {
  return signal === null ? `its process ended with code ${code ?? 0}` : `its process was ended by ${signal}`;
}
