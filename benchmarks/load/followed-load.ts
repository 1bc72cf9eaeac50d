// A load that tells how it goes while it runs, and that can be held while its receivers catch up.

import { runLoad } from "../../packages/millrace/src/cli/bench/http-load.ts";
import type { LoadPlan, LoadResult } from "../../packages/millrace/src/cli/bench/http-load.ts";

export interface Progress {
  /** Requests answered since the start. */
  readonly answered: number;
  /** The longest since the last time this was asked. */
  readonly longestMs: number;
}

export class FollowedLoad {
  #answered = 0;
  #longestMs = 0;
  #held: PromiseWithResolvers<void> | undefined;

  readonly run = async (plan: LoadPlan): Promise<LoadResult> => {
    this.#answered = 0;
    this.#longestMs = 0;
    return await runLoad(plan, {
      gate: () => this.#held?.promise,
      answered: (ms) => {
        this.#answered += 1;
        if (ms > this.#longestMs) this.#longestMs = ms;
      },
    });
  };

  /** `hold`: no request begins until it is called without. */
  readonly follow = ({ hold }: { readonly hold: boolean }): Progress => {
    if (hold) {
      this.#held ??= Promise.withResolvers();
    } else {
      this.#held?.resolve();
      this.#held = undefined;
    }
    const longestMs = this.#longestMs;
    this.#longestMs = 0;
    return { answered: this.#answered, longestMs };
  };
}
