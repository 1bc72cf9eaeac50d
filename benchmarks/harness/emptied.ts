// Empties queues after a load and says whether exactly what was accepted came out.

import type { DeliveryCheck, PullPlan, PullResult } from "../../packages/millrace/src/cli/bench/pull-load.ts";
import type { ChildModule } from "./child-module.ts";
import type { BenchQueue, MillraceServer } from "./server.ts";

const connections = 8;

/** By pulling: the queues need pull consumers. */
export async function emptied(
  generator: ChildModule,
  server: MillraceServer,
  queues: readonly BenchQueue[],
  { firstNumber, numbers, refused }: PullPlan["expected"],
): Promise<DeliveryCheck> {
  const plan: PullPlan = {
    address: server.address,
    host: server.host,
    headers: server.headers,
    paths: queues.map((queue) => server.messagesPath(queue)),
    connections,
    batchSize: 100,
    expected: { firstNumber, numbers, refused },
  };
  return (await generator.call<PullResult>("pull", plan)).check;
}
