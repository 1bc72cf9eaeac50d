// Queues that still deliver to a Worker though its configuration names them no more. No wrangler detaches a consumer when it
// deploys: it only attaches and changes those that the configuration names (docs/reference/compatibility.md).

import { listQueues } from "./queue-lookup.ts";
import type { RestClient } from "./rest-client.ts";

export interface LeftConsumer {
  readonly queueName: string;
  /** Below the account. */
  readonly path: string;
}

export async function leftConsumers(
  client: RestClient,
  worker: { readonly name: string; readonly consumers: readonly { readonly queue: string }[] },
): Promise<readonly LeftConsumer[]> {
  const named = new Set(worker.consumers.map(({ queue }) => queue));
  return (await listQueues(client))
    .filter(({ queue_name: queue }) => !named.has(queue))
    .flatMap(({ queue_id: id, queue_name: queueName, consumers }) =>
      consumers
        .filter(({ type, script }) => type === "worker" && script === worker.name)
        .map(({ consumer_id: consumer }) => ({ queueName, path: `/queues/${id}/consumers/${consumer}` })),
    );
}
