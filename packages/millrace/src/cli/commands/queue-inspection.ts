// `millrace queues list` and `info`.

import type { Command } from "commander";
import { accountingView, explanationView, intakeLimitsView, messageMetrics } from "../../contract/rest/index.ts";
import type { ConsumerView, MessageMetrics, QueueView } from "../../contract/rest/index.ts";
import { plural, span } from "../../observability/index.ts";
import { accountingText, violationText } from "../accounting-text.ts";
import { clientAction } from "../client-command.ts";
import type { Outcome } from "../client-command.ts";
import type { CommandContext } from "../command-context.ts";
import { examples } from "../help-examples.ts";
import { listQueues, requireQueue } from "../queue-lookup.ts";
import type { RestClient } from "../rest-client.ts";
import { bytes, facts, table, when } from "../tables.ts";

export function addQueueInspection(queues: Command, context: CommandContext): void {
  const list = queues
    .command("list")
    .summary("all queues with their backlog")
    .description("Lists all queues with their backlog.");
  clientAction(list, context, showList);
  examples(list, ["millrace queues list"], ["millrace queues list --json"]);

  const info = queues
    .command("info")
    .summary("one queue: settings, backlog, who sends, who receives")
    .description("Shows one queue: its settings, its backlog, who sends to it and who receives from it.")
    .argument("<name>", "the queue's name");
  clientAction(info, context, showInfo);
  examples(info, ["millrace queues info my-app-events"]);

  const explain = queues
    .command("explain")
    .summary("why nothing is moving, and what to do")
    .description("Says in words why the messages of a queue do not move, the weightiest reason first, and what to do.")
    .argument("<name>", "the queue's name");
  clientAction(explain, context, explainQueue);
  examples(explain, ["millrace queues explain my-app-events"]);
}

async function showList(client: RestClient): Promise<Outcome> {
  const all = await listQueues(client);
  const backlogs = await readBacklogs(client, all);
  return {
    json: all.map((queue, index) => ({
      ...queue,
      ...(backlogs[index] === undefined ? {} : { metrics: backlogs[index] }),
    })),
    people: () =>
      all.length === 0
        ? "There is no queue yet. Create one: millrace queues create my-queue"
        : table(
            ["NAME", "BACKLOG", "OLDEST", "PRODUCERS", "CONSUMER", "STATE"],
            all.map((queue, index) => [
              queue.queue_name,
              backlogs[index] === undefined ? "?" : String(backlogs[index].backlog_count),
              oldest(backlogs[index]) ?? "",
              queue.producers.map(({ script }) => script).join(", "),
              queue.consumers.map(shortConsumer).join(", "),
              queue.settings.delivery_paused ? "paused" : "",
            ]),
          ),
  };
}

/** Beyond this many queues the list does without backlogs: each is a request of its own. */
const maxBacklogs = 500;
const atOnce = 8;

async function readBacklogs(client: RestClient, all: readonly QueueView[]): Promise<(MessageMetrics | undefined)[]> {
  const backlogs = Array.from<MessageMetrics | undefined>({ length: all.length });
  if (all.length > maxBacklogs) return backlogs;
  let next = 0;
  const readOnes = async (): Promise<void> => {
    for (let index = next++; index < all.length; index = next++) {
      backlogs[index] = await readBacklog(client, all[index]?.queue_id ?? "");
    }
  };
  await Promise.all(Array.from({ length: atOnce }, readOnes));
  return backlogs;
}

export async function readBacklog(client: RestClient, queueId: string): Promise<MessageMetrics> {
  return await client.call("GET", `/queues/${queueId}/metrics`, messageMetrics);
}

async function showInfo(client: RestClient, _options: object, name: string): Promise<Outcome> {
  const queue = await requireQueue(client, name);
  const metrics = await readBacklog(client, queue.queue_id);
  const accounting = await client.call("GET", `/millrace/queues/${queue.queue_id}/accounting`, accountingView);
  const limits = await client.call("GET", `/millrace/queues/${queue.queue_id}/limits`, intakeLimitsView);
  const { settings } = queue;
  return {
    json: { ...queue, metrics, accounting, limits },
    people: () =>
      facts([
        ["Name", queue.queue_name],
        ["Id", queue.queue_id],
        ["Created", when(Date.parse(queue.created_on))],
        ["State", stateText(queue)],
        ["Backlog", `${plural(metrics.backlog_count, "message")}, ${bytes(metrics.backlog_bytes)}`],
        ["Oldest", oldest(metrics)],
        ["Accounting", accountingText(accounting)],
        ["VIOLATED", violationText(accounting)],
        ["Delivery delay", `${settings.delivery_delay} s`],
        ["Retention", `${settings.message_retention_period} s (${span(settings.message_retention_period * 1_000)})`],
        ["Limits", `${bytes(limits.backlog_limit_bytes)} in all${rateText(limits.messages_per_second)}`],
        ["Jurisdiction", queue.jurisdiction],
        ["Producers", queue.producers.map(({ script }) => script).join(", ") || "none but the REST API"],
        ...queue.consumers.map((consumer) => ["Consumer", longConsumer(consumer)] as const),
        ["Consumer", queue.consumers.length === 0 ? "none: messages wait until one is attached" : undefined],
      ]),
  };
}

function stateText({ settings, consumers: [consumer] }: QueueView): string {
  if (settings.delivery_paused) return "paused: messages are accepted, none is delivered";
  if (consumer === undefined) return "waiting: messages are accepted, nobody receives them";
  return consumer.type === "worker" ? "delivering" : "delivering to clients that pull";
}

const rateText = (perSecond: number | null): string =>
  perSecond === null ? "" : `, ${plural(perSecond, "message")} a second`;

async function explainQueue(client: RestClient, _options: object, name: string): Promise<Outcome> {
  const { queue_id: id } = await requireQueue(client, name);
  const explanation = await client.call("GET", `/millrace/queues/${id}/explain`, explanationView);
  return {
    json: explanation,
    people: () =>
      explanation.findings.map(({ text, remedy }) => (remedy === undefined ? text : `${text}\n  ${remedy}`)).join("\n"),
  };
}

function oldest(metrics: MessageMetrics | undefined): string | undefined {
  const since = metrics?.oldest_message_timestamp_ms ?? 0;
  return since === 0 ? undefined : `${span(Math.max(0, Date.now() - since))} ago`;
}

const shortConsumer = (consumer: ConsumerView): string =>
  consumer.type === "worker" ? (consumer.script ?? consumer.script_name ?? "?") : "pull over HTTP";

export function longConsumer(consumer: ConsumerView): string {
  const { settings } = consumer;
  const parts = [
    shortConsumer(consumer),
    `batches of up to ${settings.batch_size}`,
    settings.max_wait_time_ms === undefined ? undefined : `after at most ${span(settings.max_wait_time_ms)}`,
    settings.visibility_timeout_ms === undefined ? undefined : `leased for ${span(settings.visibility_timeout_ms)}`,
    settings.max_retries === 1 ? "1 retry" : `${settings.max_retries} retries`,
    settings.retry_delay > 0 ? `after ${settings.retry_delay} s each` : undefined,
    settings.max_concurrency === undefined || settings.max_concurrency === null
      ? undefined
      : `at most ${settings.max_concurrency} at once`,
    consumer.dead_letter_queue === "" ? "no dead letter queue" : `then to ${consumer.dead_letter_queue}`,
  ];
  return parts.filter((part) => part !== undefined).join(", ");
}
