// `millrace queues create`, `update`, `delete`, `purge`, `pause` and `resume`.

import type { Command } from "commander";
import { z } from "zod";
import { limits } from "../../contract/index.ts";
import { intakeLimitsView, queueView } from "../../contract/rest/index.ts";
import type { QueueView } from "../../contract/rest/index.ts";
import { plural } from "../../observability/index.ts";
import { clientAction } from "../client-command.ts";
import type { Outcome } from "../client-command.ts";
import { CommandFailure, usageFailure } from "../command-failure.ts";
import type { CommandContext } from "../command-context.ts";
import { examples } from "../help-examples.ts";
import { numberWithin } from "../number-option.ts";
import { requireQueue } from "../queue-lookup.ts";
import type { RestClient } from "../rest-client.ts";
import { readBacklog } from "./queue-inspection.ts";

interface SettingOptions {
  readonly deliveryDelay?: number;
  readonly retention?: number;
}

interface LimitOptions {
  readonly backlogLimit?: number;
  readonly rateLimit?: number | "none";
}

interface ForceOption {
  readonly force?: boolean;
}

export function addQueueChanges(queues: Command, context: CommandContext): void {
  const create = addSettings(queues.command("create").summary("make a queue").description("Makes a queue."));
  clientAction(create, context, createQueue);
  examples(
    create,
    ["millrace queues create my-app-events"],
    ["millrace queues create reminders --delivery-delay 60", "every message waits a minute"],
  );

  const update = addSettings(
    queues.command("update").summary("change a queue's settings").description("Changes a queue's settings."),
  );
  const { backlogLimit, throughputLimit } = limits.queue;
  const rate = numberWithin(throughputLimit);
  update
    .option("--backlog-limit <bytes>", "refuse sends once this much is stored", numberWithin(backlogLimit))
    .option("--rate-limit <number>", "messages taken in a second, or none", (text) =>
      text === "none" ? text : rate(text),
    );
  clientAction(update, context, updateQueue);
  examples(
    update,
    ["millrace queues update my-app-events --retention 86400", "keep messages for a day"],
    ["millrace queues update my-app-events --rate-limit 500", "and --rate-limit none takes it away"],
  );

  const remove = withForce(
    queues.command("delete").summary("delete a queue").description("Deletes a queue and everything in it."),
    "even if it still holds messages",
  );
  clientAction(remove, context, deleteQueue);
  examples(remove, ["millrace queues delete old-events"], ["millrace queues delete old-events --force"]);

  const purge = withForce(
    queues
      .command("purge")
      .summary("delete the messages of a queue")
      .description("Deletes everything a queue holds now, delayed messages included. It cannot be undone."),
    "really do it",
  );
  clientAction(purge, context, purgeQueue);
  examples(purge, ["millrace queues purge my-app-events --force"]);

  for (const [verb, paused, what] of [
    ["pause", true, "stop deliveries; sends are still accepted"],
    ["resume", false, "deliver again"],
  ] as const) {
    const command = queues
      .command(verb)
      .summary(what)
      .description(`${paused ? "Stops" : "Resumes"} a queue's deliveries. Messages are accepted all the same.`)
      .argument("<name>", "the queue's name");
    clientAction(
      command,
      context,
      async (client, _options: object, name: string) => await setPaused(client, name, paused),
    );
    examples(command, [`millrace queues ${verb} my-app-events`]);
  }
}

function addSettings(command: Command): Command {
  const { deliveryDelay, retention } = limits.queue;
  return command
    .argument("<name>", "the queue's name")
    .option(
      "--delivery-delay <seconds>",
      "how long each message waits before it is delivered",
      numberWithin(deliveryDelay),
    )
    .option("--retention <seconds>", "how long a message is kept that nobody consumes", numberWithin(retention));
}

const withForce = (command: Command, what: string): Command =>
  command.argument("<name>", "the queue's name").option("--force", what);

function settingsOf({ deliveryDelay, retention }: SettingOptions): Record<string, number> {
  return {
    ...(deliveryDelay === undefined ? {} : { delivery_delay: deliveryDelay }),
    ...(retention === undefined ? {} : { message_retention_period: retention }),
  };
}

async function createQueue(client: RestClient, options: SettingOptions, name: string): Promise<Outcome> {
  const body = { queue_name: name, settings: settingsOf(options) };
  const created = await client.call("POST", "/queues", queueView, body);
  return { json: created, people: () => `Created queue ${created.queue_name}.` };
}

async function updateQueue(client: RestClient, options: SettingOptions & LimitOptions, name: string): Promise<Outcome> {
  const settings = settingsOf(options);
  const { backlogLimit, rateLimit } = options;
  const intake = {
    ...(backlogLimit === undefined ? {} : { backlog_limit_bytes: backlogLimit }),
    ...(rateLimit === undefined ? {} : { messages_per_second: rateLimit === "none" ? null : rateLimit }),
  };
  if (Object.keys({ ...settings, ...intake }).length === 0) {
    throw usageFailure("nothing to change: give --delivery-delay, --retention, --backlog-limit or --rate-limit.");
  }
  const queue = await patch(client, name, settings);
  if (Object.keys(intake).length > 0) {
    await client.call("PATCH", `/millrace/queues/${queue.queue_id}/limits`, intakeLimitsView, intake);
  }
  return changed(queue, "Changed");
}

async function setPaused(client: RestClient, name: string, paused: boolean): Promise<Outcome> {
  return changed(await patch(client, name, { delivery_paused: paused }), paused ? "Paused" : "Resumed");
}

async function patch(client: RestClient, name: string, settings: object): Promise<QueueView> {
  const queue = await requireQueue(client, name);
  if (Object.keys(settings).length === 0) return queue;
  return await client.call("PATCH", `/queues/${queue.queue_id}`, queueView, { settings });
}

const changed = (queue: QueueView, verb: string): Outcome => ({
  json: queue,
  people: () => `${verb} queue ${queue.queue_name}.`,
});

async function deleteQueue(client: RestClient, { force }: ForceOption, name: string): Promise<Outcome> {
  const { queue_id: id } = await requireQueue(client, name);
  const { backlog_count: count } = await readBacklog(client, id);
  if (count > 0 && force !== true) {
    throw new CommandFailure(
      `queue "${name}" still holds ${plural(count, "message")}; deleting it deletes them. Add --force to do it.`,
    );
  }
  await client.call("DELETE", `/queues/${id}`, z.unknown());
  return { json: { deleted: name }, people: () => `Deleted queue ${name}.` };
}

async function purgeQueue(client: RestClient, { force }: ForceOption, name: string): Promise<Outcome> {
  const { queue_id: id } = await requireQueue(client, name);
  const { backlog_count: count } = await readBacklog(client, id);
  if (force !== true) {
    throw new CommandFailure(`this deletes ${plural(count, "message")} for good. Add --force to do it.`);
  }
  await client.call("POST", `/queues/${id}/purge`, z.unknown(), { delete_messages_permanently: true });
  return {
    json: { purged: name, backlog_count: count },
    people: () => `Purging ${plural(count, "message")} of queue ${name}.`,
  };
}
