// `millrace queues consumer list`, `add` and `remove`.

import type { Command } from "commander";
import { z } from "zod";
import { limits } from "../../contract/index.ts";
import { consumerView } from "../../contract/rest/index.ts";
import { clientAction } from "../client-command.ts";
import type { Outcome } from "../client-command.ts";
import { CommandFailure, usageFailure } from "../command-failure.ts";
import type { CommandContext } from "../command-context.ts";
import { examples } from "../help-examples.ts";
import { numberWithin } from "../number-option.ts";
import { requireQueue } from "../queue-lookup.ts";
import type { RestClient } from "../rest-client.ts";
import { longConsumer } from "./queue-inspection.ts";

interface AddOptions {
  readonly worker?: string;
  readonly pull?: boolean;
  readonly batchSize?: number;
  readonly batchTimeout?: number;
  readonly retries?: number;
  readonly retryDelay?: number;
  readonly maxConcurrency?: number;
  readonly visibilityTimeout?: number;
  readonly deadLetterQueue?: string;
}

export function addQueueConsumers(queues: Command, context: CommandContext): void {
  const consumer = queues
    .command("consumer")
    .summary("who receives from a queue")
    .description("Lists, attaches and removes the consumer of a queue: a Worker, or clients that pull over HTTP.");
  examples(
    consumer,
    ["millrace queues consumer list my-app-events"],
    ["millrace queues consumer add my-app-events --pull"],
  );

  const list = consumer
    .command("list")
    .description("Lists the consumers of a queue.")
    .argument("<queue>", "the queue's name");
  clientAction(list, context, listConsumers);
  examples(list, ["millrace queues consumer list my-app-events"]);

  const { consumer: push, pull } = limits;
  const wait = { min: push.maxWait.min, max: push.maxWait.max / 1_000, unit: "seconds" };
  const lease = { min: 0, max: pull.visibilityTimeout.max / 1_000, unit: "seconds" };
  const add = consumer
    .command("add")
    .description("Attaches a consumer. A queue has one: a Worker (--worker) or clients that pull (--pull).")
    .argument("<queue>", "the queue's name")
    .option("--worker <name>", "a deployed Worker with a queue() handler")
    .option("--pull", "clients that pull over HTTP")
    .option("--batch-size <messages>", "most messages in a batch", numberWithin(push.batchSize))
    .option("--batch-timeout <seconds>", "longest wait for a batch to fill (Worker)", numberWithin(wait))
    .option("--retries <number>", "deliveries after the first", numberWithin(push.maxRetries))
    .option("--retry-delay <seconds>", "wait before a retry", numberWithin(push.retryDelay))
    .option("--max-concurrency <number>", "most batches at once (Worker)", numberWithin(push.maxConcurrency))
    .option("--visibility-timeout <seconds>", "how long a pulled message is leased (pull)", numberWithin(lease))
    .option("--dead-letter-queue <name>", "where messages go when retries are exhausted");
  clientAction(add, context, addConsumer);
  examples(
    add,
    ["millrace queues consumer add my-app-events --pull --visibility-timeout 60"],
    ["millrace queues consumer add my-app-events --worker my-app --dead-letter-queue my-app-events-dlq"],
  );

  const remove = consumer
    .command("remove")
    .description("Removes the consumer of a queue. Messages wait until another one is attached.")
    .argument("<queue>", "the queue's name");
  clientAction(remove, context, removeConsumer);
  examples(remove, ["millrace queues consumer remove my-app-events"]);
}

async function listConsumers(client: RestClient, _options: object, name: string): Promise<Outcome> {
  const { consumers } = await requireQueue(client, name);
  return {
    json: consumers,
    people: () => consumers.map(longConsumer).join("\n") || `Queue ${name} has no consumer: messages wait.`,
  };
}

async function addConsumer(client: RestClient, options: AddOptions, name: string): Promise<Outcome> {
  const { queue_id: id } = await requireQueue(client, name);
  const added = await client.call("POST", `/queues/${id}/consumers`, consumerView, consumerBodyOf(options));
  return { json: added, people: () => `Attached to ${name}: ${longConsumer(added)}.` };
}

function consumerBodyOf(options: AddOptions): object {
  const { worker, pull, deadLetterQueue } = options;
  if ((worker === undefined) === (pull !== true)) throw usageFailure("give either --worker <name> or --pull.");
  const misplaced =
    pull === true
      ? { "--batch-timeout": options.batchTimeout, "--max-concurrency": options.maxConcurrency }
      : { "--visibility-timeout": options.visibilityTimeout };
  for (const [flag, value] of Object.entries(misplaced)) {
    if (value !== undefined)
      throw usageFailure(`${flag} has no meaning with ${pull === true ? "--pull" : "--worker"}.`);
  }
  const given = {
    batch_size: options.batchSize,
    max_retries: options.retries,
    retry_delay: options.retryDelay,
    max_concurrency: options.maxConcurrency,
    max_wait_time_ms: options.batchTimeout === undefined ? undefined : options.batchTimeout * 1_000,
    visibility_timeout_ms: options.visibilityTimeout === undefined ? undefined : options.visibilityTimeout * 1_000,
  };
  return {
    ...(pull === true ? { type: "http_pull" } : { type: "worker", script_name: worker }),
    ...(deadLetterQueue === undefined ? {} : { dead_letter_queue: deadLetterQueue }),
    settings: Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
  };
}

async function removeConsumer(client: RestClient, _options: object, name: string): Promise<Outcome> {
  const { queue_id: id, consumers } = await requireQueue(client, name);
  if (consumers.length === 0) throw new CommandFailure(`queue "${name}" has no consumer.`);
  for (const { consumer_id } of consumers)
    await client.call("DELETE", `/queues/${id}/consumers/${consumer_id}`, z.unknown());
  return { json: { removed: consumers }, people: () => `Removed the consumer of ${name}.` };
}
