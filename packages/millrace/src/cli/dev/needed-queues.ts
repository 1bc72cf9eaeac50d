// Makes the queues a Worker consumes before it is deployed: wrangler refuses a consumer whose queue does not exist, and it
// never makes dead letter queues. Queues a Worker only sends to are wrangler's own to make.

import { queueView } from "../../contract/rest/index.ts";
import { listQueues } from "../queue-lookup.ts";
import type { RestClient } from "../rest-client.ts";
import type { ProjectConfig } from "./project-config.ts";

export async function createNeededQueues(client: RestClient, { consumers }: ProjectConfig): Promise<void> {
  const needed = new Set(consumers.flatMap(({ queue, deadLetterQueue }) => [queue, deadLetterQueue ?? queue]));
  if (needed.size === 0) return;
  const existing = new Set((await listQueues(client)).map(({ queue_name }) => queue_name));
  for (const queue of needed) {
    if (!existing.has(queue)) await client.call("POST", "/queues", queueView, { queue_name: queue });
  }
}
