// The process that asks: HTTP loads, emptying queues, and the bare disk.

import { appendToFile } from "../../packages/millrace/src/cli/bench/raw-append.ts";
import { runLoad } from "../../packages/millrace/src/cli/bench/http-load.ts";
import type { LoadPlan } from "../../packages/millrace/src/cli/bench/http-load.ts";
import { pullAll } from "../../packages/millrace/src/cli/bench/pull-load.ts";
import { answerCalls } from "../harness/child-module.ts";
import { FollowedLoad } from "./followed-load.ts";
import { pacedFetches } from "./paced-fetches.ts";
import { openCallbacks } from "./paced-load.ts";
import { pacedSyncs } from "./paced-syncs.ts";

const callbacks = await openCallbacks();
const followed = new FollowedLoad();
answerCalls({
  load: async (plan: LoadPlan) => await runLoad(plan),
  pull: pullAll,
  append: appendToFile,
  callbackPort: () => callbacks.port,
  paced: callbacks.run,
  pacedFetches,
  pacedSyncs,
  followedLoad: followed.run,
  follow: followed.follow,
});
