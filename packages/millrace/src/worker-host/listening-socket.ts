// A listening socket of which only the descriptor is used: it is passed to processes, which accept on it one after the other.

import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { MillraceError } from "../core/index.ts";
import type { ListenAddress } from "../core/index.ts";

/** What the thread is told. */
export interface ListeningPlan extends ListenAddress {
  /** One 32-bit number; other than 0: the socket may be closed. */
  readonly released: SharedArrayBuffer;
}

/** What the thread says, once. */
export type ListeningAnswer =
  | { readonly kind: "listening"; readonly descriptor: number; readonly port: number }
  | { readonly kind: "failed"; readonly code: string | undefined; readonly message: string };

const threadModule = new URL(
  import.meta.url.endsWith(".ts") ? "./listening-thread.ts" : "./listening-thread.js",
  import.meta.url,
);
const threadMemory = { maxYoungGenerationSizeMb: 2, maxOldGenerationSizeMb: 32 };

export class ListeningSocket implements AsyncDisposable {
  /** In this process. Closed on exec: a child gets it only by being given it. */
  readonly descriptor: number;
  readonly address: ListenAddress;
  readonly #thread: Worker;
  readonly #released: Int32Array;
  #isOpen = true;

  private constructor(descriptor: number, address: ListenAddress, thread: Worker, released: Int32Array) {
    this.descriptor = descriptor;
    this.address = address;
    this.#thread = thread;
    this.#released = released;
    thread.once("exit", () => (this.#isOpen = false));
  }

  /** Port 0: any free one. Throws `PORT_UNAVAILABLE`. */
  static async open({ host, port }: ListenAddress): Promise<ListeningSocket> {
    const released = new SharedArrayBuffer(4);
    const plan: ListeningPlan = { host, port, released };
    const thread = new Worker(threadModule, { name: "millrace-port", workerData: plan, resourceLimits: threadMemory });
    const answer = await firstAnswer(thread);
    thread.unref();
    if (answer.kind === "failed") {
      throw new MillraceError("PORT_UNAVAILABLE", problem(answer.code, { host, port }, answer.message));
    }
    return new ListeningSocket(answer.descriptor, { host, port: answer.port }, thread, new Int32Array(released));
  }

  /** `false`: the descriptor may mean something else by now. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Closes this process's copy; a process that was given one goes on accepting. May be called twice. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    const ended = once(this.#thread, "exit");
    this.#thread.ref();
    Atomics.store(this.#released, 0, 1);
    Atomics.notify(this.#released, 0);
    await ended;
  }
}

async function firstAnswer(thread: Worker): Promise<ListeningAnswer> {
  const { promise, resolve } = Promise.withResolvers<ListeningAnswer>();
  const failed = (message: string): void => resolve({ kind: "failed", code: undefined, message });
  thread.once("message", resolve);
  thread.once("error", (error) => failed(error instanceof Error ? error.message : String(error)));
  thread.once("exit", () => failed("the thread that holds the socket ended"));
  return await promise;
}

function problem(code: string | undefined, { host, port }: ListenAddress, otherwise: string): string {
  switch (code) {
    case "EADDRINUSE":
      return `Port ${port} is in use by another program`;
    case "EACCES":
      return `Port ${port} may not be opened by this user`;
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return `${host} is no address of this machine`;
    default:
      return `Port ${port} of ${host} cannot be opened: ${otherwise}`;
  }
}
