// Makes the queues a Worker consumes before it is deployed: wrangler refuses a consumer whose queue does not exist, and it
// never makes dead letter queues. Queues a Worker only sends to are wrangler's own to make.

import { queueView } from "../../contract/rest/index.ts";
import type { Logger } from "../../core/index.ts";
import { listQueues } from "../queue-lookup.ts";
import type { RestClient } from "../rest-client.ts";
import type { ProjectConfig } from "./project-config.ts";

export async function createNeededQueues(
  client: RestClient,
  { name, consumers }: ProjectConfig,
  logger: Logger,
): Promise<void> {
  const needed = new Map<string, string>();
  for (const { queue } of consumers) needed.set(queue, `${name} consumes it`);
  for (const { queue, deadLetterQueue } of consumers) {
    if (deadLetterQueue !== undefined && !needed.has(deadLetterQueue)) {
      needed.set(deadLetterQueue, `dead letter queue of ${queue}`);
    }
  }
  if (needed.size === 0) return;
  const existing = new Set((await listQueues(client)).map(({ queue_name }) => queue_name));
  for (const [queue, reason] of needed) {
    if (existing.has(queue)) continue;
    await client.call("POST", "/queues", queueView, { queue_name: queue });
    logger.info("queue.created", { queue, reason });
  }
}
