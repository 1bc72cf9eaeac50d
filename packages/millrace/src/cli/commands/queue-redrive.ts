// `millrace queues redrive`.

import type { Command } from "commander";
import { redriveCount, redriveResult } from "../../contract/rest/index.ts";
import { plural } from "../../observability/index.ts";
import { clientAction } from "../client-command.ts";
import type { Outcome } from "../client-command.ts";
import type { CommandContext } from "../command-context.ts";
import { examples } from "../help-examples.ts";
import { numberWithin } from "../number-option.ts";
import { requireQueue } from "../queue-lookup.ts";
import type { RestClient } from "../rest-client.ts";
import { readBacklog } from "./queue-inspection.ts";

interface RedriveOptions {
  readonly to?: string;
  readonly max?: number;
}

export function addQueueRedrive(queues: Command, context: CommandContext): void {
  const most = { min: 1, max: Number.MAX_SAFE_INTEGER, unit: "messages" };
  const command = queues
    .command("redrive")
    .summary("move dead letters back to a queue")
    .description(
      "Moves the messages of a dead letter queue back to a queue, oldest first. They keep their ids, and their attempts " +
        "begin again. Delayed messages and those that a consumer has now stay.",
    )
    .argument("<name>", "the dead letter queue's name")
    .option("--to <queue>", "where they go (default: the one queue whose dead letters come here)")
    .option("--max <messages>", "how many at most (default: all)", numberWithin(most));
  clientAction(command, context, redriveQueue);
  examples(
    command,
    ["millrace queues redrive my-app-events-dlq"],
    ["millrace queues redrive my-app-events-dlq --max 1", "try one first"],
    ["millrace queues redrive old-dlq --to my-app-events"],
  );
}

/** Moves what is there now: messages that fail again meanwhile come back to the queue and must not be moved for ever. */
async function redriveQueue(client: RestClient, { to, max }: RedriveOptions, name: string): Promise<Outcome> {
  const { queue_id: id } = await requireQueue(client, name);
  const target = to === undefined ? {} : { target_queue: (await requireQueue(client, to)).queue_name };
  const { backlog_count: there } = await readBacklog(client, id);
  const wanted = Math.min(there, max ?? there);
  const ask = async (count: number) =>
    await client.call("POST", `/millrace/queues/${id}/redrive`, redriveResult, { ...target, max: count });
  const step = (left: number): number => Math.max(1, Math.min(left, redriveCount.default));

  let last = await ask(step(wanted));
  let moved = last.moved;
  while (moved < wanted && last.moved > 0) {
    last = await ask(step(wanted - moved));
    moved += last.moved;
  }
  return { json: { ...last, moved }, people: () => redriveText(name, last.target_queue, moved, last.backlog_count) };
}

function redriveText(name: string, target: string, moved: number, left: number): string {
  if (moved === 0 && left === 0) return `Queue ${name} is empty.`;
  const done = `Moved ${plural(moved, "message")} of ${name} to ${target}.`;
  return left === 0 ? done : `${done} ${plural(left, "message")} ${left === 1 ? "is" : "are"} in ${name} still.`;
}
