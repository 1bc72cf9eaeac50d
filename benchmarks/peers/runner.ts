// The process that holds one peer: starts it, does the work with its client, stops it.

import { answerCalls } from "../harness/child-module.ts";
import type { Session } from "./peer.ts";
import { peers } from "./registry.ts";
import { work } from "./work.ts";
import type { WorkPlan, WorkResult } from "./work.ts";

export interface OpenPeer {
  /** The place in `peers`. */
  readonly peer: number;
  readonly folder: string;
}

let session: Session | undefined;

answerCalls(
  {
    /** Answers the peer's own processes. */
    open: async ({ peer, folder }: OpenPeer): Promise<Session["pids"]> => {
      session = await peers[peer]?.start(folder);
      return session?.pids ?? {};
    },
    work: async (plan: WorkPlan): Promise<WorkResult> => {
      if (session === undefined) throw new Error("no peer is open");
      return await work(session, plan);
    },
  },
  async () => await session?.[Symbol.asyncDispose](),
);
