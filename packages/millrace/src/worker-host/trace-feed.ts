// Who watches which Worker's invocations, and what they are told. Traces are workerd's own objects, with the Worker's name put in.

import type { WorkerName } from "../core/index.ts";

/** One invocation as a tail Worker gets it. Source: rest-api.md section 7.7. */
export interface WorkerTrace {
  readonly scriptName: string;
  readonly outcome: string;
  readonly [field: string]: unknown;
}

interface Watcher {
  readonly listener: (trace: WorkerTrace) => void;
  readonly worker: WorkerName | undefined;
}

export class TraceFeed {
  readonly #watchers = new Set<Watcher>();
  readonly #onFirst: (worker: WorkerName | undefined) => void;

  /** `onFirst` is told when somebody begins to watch a Worker, or all of them. */
  constructor(onFirst: (worker: WorkerName | undefined) => void) {
    this.#onFirst = onFirst;
  }

  listen(listener: (trace: WorkerTrace) => void, worker: WorkerName | undefined): () => void {
    const watcher = { listener, worker };
    this.#watchers.add(watcher);
    this.#onFirst(worker);
    return () => void this.#watchers.delete(watcher);
  }

  wants(worker: WorkerName): boolean {
    for (const watcher of this.#watchers) if (watcher.worker === undefined || watcher.worker === worker) return true;
    return false;
  }

  /** `text` is a JSON list of traces of the Worker. */
  take(worker: WorkerName, text: string): void {
    const traces: unknown = JSON.parse(text);
    if (!Array.isArray(traces)) return;
    for (const trace of traces as { readonly outcome: string }[]) {
      for (const watcher of this.#watchers) {
        if (watcher.worker === undefined || watcher.worker === worker)
          watcher.listener({ ...trace, scriptName: worker });
      }
    }
  }
}
