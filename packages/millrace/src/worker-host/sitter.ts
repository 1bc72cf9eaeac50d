// Ends the runtime processes when this server ends without saying goodbye (kill -9): a tiny shell waits for the end of its
// input, which the operating system brings about whatever happened to the server, and then kills what it was told of.

import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";

/** Reads `+ pid` and `- pid`; at the end of input kills what is left and removes the folder given. */
const script = `
trap '' INT TERM HUP
pids=
while read -r change pid; do
  left=
  for known in $pids; do [ "$known" = "$pid" ] || left="$left $known"; done
  pids=$left
  [ "$change" = + ] && pids="$pids $pid"
done
for pid in $pids; do kill -9 "$pid" 2>/dev/null; done
rm -rf "$1"
`;

export class Sitter implements AsyncDisposable {
  readonly #folder: string;
  readonly #watched = new Set<number>();
  #shell: ChildProcess;
  #isClosing = false;

  /** `folder` is removed when the server is gone. */
  constructor(folder: string) {
    this.#folder = folder;
    this.#shell = this.#start();
  }

  /** Resolves when this server's end, however sudden, is this process's end. */
  async watch(pid: number): Promise<void> {
    this.#watched.add(pid);
    await this.#tell(`+ ${pid}\n`);
  }

  forget(pid: number): void {
    if (this.#watched.delete(pid)) void this.#tell(`- ${pid}\n`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isClosing) return;
    this.#isClosing = true;
    const shell = this.#shell;
    if (shell.exitCode !== null || shell.signalCode !== null || shell.pid === undefined) return;
    const ended = once(shell, "exit");
    shell.ref(); // somebody waits for it now, perhaps as the last thing this process does
    shell.stdin?.end();
    await ended;
  }

  #start(): ChildProcess {
    // Its own session: a Ctrl-C in the terminal is for the server alone.
    const shell = spawn("/bin/sh", ["-c", script, "millrace-sitter", this.#folder], {
      stdio: ["pipe", "ignore", "ignore"],
      detached: true,
      cwd: "/",
      env: { PATH: "/usr/bin:/bin" },
    });
    shell.unref();
    shell.stdin?.on("error", () => undefined); // it ended; the exit event below deals with it
    // Without a shell the leftovers are found at the next start instead.
    shell.on("error", () => undefined);
    shell.on("exit", () => {
      if (this.#isClosing) return;
      this.#shell = this.#start();
      for (const pid of this.#watched) void this.#tell(`+ ${pid}\n`);
    });
    return shell;
  }

  /** Resolves when the line is in the pipe, where it outlives this server. A shell that just ended is followed by one that is told all. */
  async #tell(line: string): Promise<void> {
    const { stdin } = this.#shell;
    if (stdin === null || stdin === undefined) return;
    await new Promise<void>((resolve) => void stdin.write(line, () => resolve()));
  }
}
