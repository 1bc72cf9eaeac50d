// The near end of the load thread: hands over work and waits for what came of it.

import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { CommandFailure } from "../command-failure.ts";
import type { LoadReply, LoadWork, LoadWorkResults } from "./load-thread.ts";

/** The sources run as they are in development; what is published is JavaScript. */
const threadModule = new URL(
  import.meta.url.endsWith(".ts") ? "./load-thread.ts" : "./load-thread.js",
  import.meta.url,
);

export class LoadWorker implements AsyncDisposable {
  readonly #thread = new Worker(threadModule, { name: "millrace-bench" });

  /** One piece of work at a time. */
  async run<K extends LoadWork["kind"]>(
    kind: K,
    plan: Extract<LoadWork, { readonly kind: K }>["plan"],
  ): Promise<LoadWorkResults[K]> {
    this.#thread.postMessage({ kind, plan }, []);
    const [reply] = (await once(this.#thread, "message")) as [LoadReply];
    if ("failure" in reply) throw new CommandFailure(`the load failed: ${reply.failure}`);
    return reply.result as LoadWorkResults[K];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#thread.terminate();
  }
}
