// The entry: `npm run bench -- [names] [options]`. Without names, all benchmarks; of other queues, those that are installed.

import { delivery } from "./delivery.ts";
import { engineAlone } from "./engine-alone.ts";
import { runAll } from "./harness/alone.ts";
import { idle } from "./idle.ts";
import { latency } from "./latency.ts";
import { otherQueues } from "./peers.ts";
import { pull } from "./pull.ts";
import { restPush } from "./rest-push.ts";
import { startWithBacklog } from "./start-with-backlog.ts";
import { steadyState } from "./steady-state.ts";
import { workerSend } from "./worker-send.ts";

await runAll(
  [workerSend, restPush, delivery, pull, latency, steadyState, startWithBacklog, idle, engineAlone, otherQueues],
  process.argv.slice(2),
);
