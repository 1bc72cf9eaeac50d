// The receiving Worker on a server under test: deployed, consuming, and asked what came.

import { receiverSource } from "../workers/receiver.ts";
import type { BenchQueue, MillraceServer } from "./server.ts";

const name = "receiver";

/** Lets the Worker consume the queues. */
export async function deployReceiver(
  server: MillraceServer,
  queues: readonly BenchQueue[],
  batch: number,
  concurrency: number | null,
): Promise<void> {
  await server.deploy({ name, source: receiverSource });
  for (const queue of queues) await server.consumeBy(queue, name, batch, concurrency);
}

export async function askReceiver(server: MillraceServer, path: string): Promise<unknown> {
  const response = await fetch(`${server.sharedUrl}${path}`);
  if (!response.ok) throw new Error(`the receiving Worker answered ${response.status}: ${await response.text()}`);
  return await response.json();
}
