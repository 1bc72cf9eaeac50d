// The thread that asks while the server answers on another: carries out one piece of work after the other.

import { parentPort } from "node:worker_threads";
import { runLoad } from "./http-load.ts";
import type { LoadPlan, LoadResult } from "./http-load.ts";
import { pullAll } from "./pull-load.ts";
import type { PullPlan, PullResult } from "./pull-load.ts";
import { appendToFile } from "./raw-append.ts";
import type { AppendPlan, AppendResult } from "./raw-append.ts";

export type LoadWork =
  | { readonly kind: "load"; readonly plan: LoadPlan }
  | { readonly kind: "pull"; readonly plan: PullPlan }
  | { readonly kind: "append"; readonly plan: AppendPlan };

/** What each kind of work comes to. */
export interface LoadWorkResults {
  readonly load: LoadResult;
  readonly pull: PullResult;
  readonly append: AppendResult;
}

export type LoadReply = { readonly result: LoadWorkResults[keyof LoadWorkResults] } | { readonly failure: string };

const port = parentPort;
if (port === null) throw new Error("this module is a thread of its own; it is not imported");
port.on("message", (work: LoadWork) => {
  void carryOut(work)
    .then(
      (result): LoadReply => ({ result }),
      (error: unknown): LoadReply => ({ failure: error instanceof Error ? error.message : String(error) }),
    )
    .then((reply) => port.postMessage(reply, []));
});

async function carryOut(work: LoadWork): Promise<LoadWorkResults[keyof LoadWorkResults]> {
  switch (work.kind) {
    case "load":
      return await runLoad(work.plan);
    case "pull":
      return await pullAll(work.plan);
    case "append":
      return appendToFile(work.plan);
    default:
      return work satisfies never;
  }
}
