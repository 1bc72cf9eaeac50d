// A module in a process of its own that carries out calls: loads and baselines must not share a thread with what they measure.

import { fork } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

interface Call {
  readonly id: number;
  readonly name: string;
  readonly argument: unknown;
}

type Reply = { readonly id: number; readonly result: unknown } | { readonly id: number; readonly error: string };

export class ChildModule implements AsyncDisposable {
  readonly pid: number;
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, PromiseWithResolvers<unknown>>();
  #calls = 0;
  #isClosing = false;

  /** `module` ends in a call of `answerCalls`. `execArgv`: of its Node. */
  constructor(module: URL, execArgv: readonly string[] = []) {
    this.#child = fork(fileURLToPath(module), {
      execArgv: [...execArgv],
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
    if (this.#child.pid === undefined) throw new Error(`${module.pathname} cannot be started`);
    this.pid = this.#child.pid;
    this.#child.on("message", (reply: Reply) => {
      const waiting = this.#waiting.get(reply.id);
      this.#waiting.delete(reply.id);
      if ("error" in reply) waiting?.reject(new Error(reply.error));
      else waiting?.resolve(reply.result);
    });
    this.#child.once("exit", (code, signal) => {
      if (!this.#isClosing) console.error(`${module.pathname} ended with ${signal ?? code}`);
      for (const { reject } of this.#waiting.values()) reject(new Error(`${module.pathname} ended`));
    });
  }

  async call<T>(name: string, argument?: unknown): Promise<T> {
    const waiting = Promise.withResolvers<unknown>();
    const id = (this.#calls += 1);
    this.#waiting.set(id, waiting);
    this.#child.send({ id, name, argument } satisfies Call);
    return (await waiting.promise) as T;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#isClosing = true;
    const exited = once(this.#child, "exit");
    this.#child.disconnect();
    await exited;
  }
}

/** Carries out the calls of the process that started this one. When that disconnects, `close` is called and the process ends. */
export function answerCalls(
  calls: Readonly<Record<string, (argument: never) => unknown>>,
  close: () => unknown = () => undefined,
): void {
  process.on("message", (call: Call) => void answer(call));
  process.once("disconnect", () => void Promise.resolve(close()).finally(() => process.exit()));

  async function answer({ id, name, argument }: Call): Promise<void> {
    try {
      const carryOut = calls[name];
      if (carryOut === undefined) throw new Error(`no call ${name}`);
      process.send?.({ id, result: await carryOut(argument as never) } satisfies Reply);
    } catch (error) {
      process.send?.({ id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) });
    }
  }
}
