// Tells the log what changed in the catalog, whoever changed it: the difference between two snapshots, as events.

import type { CatalogView, ConsumerRecord, LogFields, QueueRecord, WorkerRecord } from "../core/index.ts";

export interface CatalogEvent {
  readonly event: string;
  readonly fields: LogFields;
}

/** What happened between two snapshots, in the order a reader expects: Workers, queues, consumers. */
export function catalogEvents(before: CatalogView, after: CatalogView): CatalogEvent[] {
  return [
    ...changes(before.all("worker"), after.all("worker"), ({ name }) => name).flatMap((change) =>
      workerEvents(change, after),
    ),
    ...changes(before.all("queue"), after.all("queue"), ({ id }) => id).flatMap(queueEvents),
    ...changes(before.all("consumer"), after.all("consumer"), ({ id }) => id).flatMap((change) =>
      consumerEvents(change, before, after),
    ),
  ];
}

interface Change<T> {
  readonly was: T | undefined;
  readonly is: T | undefined;
}

/** Records that differ; a record that was not stored again is the same object. */
function changes<T>(before: readonly T[], after: readonly T[], keyOf: (record: T) => string): Change<T>[] {
  const old = new Map(before.map((record) => [keyOf(record), record]));
  const found: Change<T>[] = [];
  for (const is of after) {
    const key = keyOf(is);
    const was = old.get(key);
    old.delete(key);
    if (was !== is) found.push({ was, is });
  }
  for (const was of old.values()) found.push({ was, is: undefined });
  return found;
}

function queueEvents({ was, is }: Change<QueueRecord>): CatalogEvent[] {
  if (is === undefined) return was === undefined ? [] : [{ event: "queue.deleted", fields: { queue: was.name } }];
  const fields = { queue: is.name };
  if (was === undefined) return [{ event: "queue.created", fields }];
  if (was.paused !== is.paused) return [{ event: is.paused ? "queue.paused" : "queue.resumed", fields }];
  return [{ event: "queue.updated", fields }];
}

function queueName(view: CatalogView, consumer: ConsumerRecord): string | undefined {
  return view.get("queue", consumer.queue_id)?.name;
}

function consumerEvents({ was, is }: Change<ConsumerRecord>, before: CatalogView, after: CatalogView): CatalogEvent[] {
  if (is === undefined) {
    const queue = was === undefined ? undefined : queueName(after, was);
    return queue === undefined ? [] : [{ event: "consumer.removed", fields: { queue } }]; // deleted with its queue: told there
  }
  const fields = {
    queue: queueName(after, is) ?? queueName(before, is),
    type: is.type,
    ...(is.type === "worker" && { worker: is.script }),
  };
  if (was === undefined) return [{ event: "consumer.attached", fields }];
  // A deploy stores its consumers again, changed or not.
  return JSON.stringify(was) === JSON.stringify(is)
    ? []
    : [{ event: "queue.updated", fields: { queue: fields.queue } }];
}

function workerEvents({ was, is }: Change<WorkerRecord>, after: CatalogView): CatalogEvent[] {
  if (is === undefined) return was === undefined ? [] : [{ event: "worker.deleted", fields: { worker: was.name } }];
  const deployment = is.deployments[0];
  if (deployment === undefined || deployment.id === was?.deployments[0]?.id) return [];
  const [version] = after.runningVersions(is);
  return [{ event: "deploy.done", fields: { worker: is.name, version: version?.id } }];
}
