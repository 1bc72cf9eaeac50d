// `millrace queues send`, `peek` and `pull`.

import type { Command } from "commander";
import { limits } from "../../contract/index.ts";
import { ackResult, peekResult, pullResult, pushResult } from "../../contract/rest/index.ts";
import { plural, span } from "../../observability/index.ts";
import { clientAction } from "../client-command.ts";
import type { Outcome } from "../client-command.ts";
import { CommandFailure, usageFailure } from "../command-failure.ts";
import type { CommandContext } from "../command-context.ts";
import { examples } from "../help-examples.ts";
import { decodeBody, showBody } from "../message-body.ts";
import { numberWithin } from "../number-option.ts";
import { requireQueue } from "../queue-lookup.ts";
import { JsonText } from "../rest-client.ts";
import type { RestClient } from "../rest-client.ts";
import { when } from "../tables.ts";

interface SendOptions {
  readonly text?: boolean;
  readonly delay?: number;
  readonly lines?: boolean;
}

interface PullOptions {
  readonly count: number;
  readonly visibilityTimeout?: number;
  readonly ack?: boolean;
}

export function addQueueMessages(queues: Command, context: CommandContext): void {
  const { message, peek: peekLimits, pull: pullLimits } = limits;
  const send = queues
    .command("send")
    .summary("send messages")
    .description("Sends one message per body given, or what is read from stdin when none is given.")
    .argument("<name>", "the queue's name")
    .argument("[bodies...]", "JSON, or any text with --text")
    .option("--text", "bodies are text, not JSON")
    .option("--lines", "every line of stdin is a message of its own")
    .option("--delay <seconds>", "deliver no earlier than this", numberWithin(message.delay));
  clientAction(send, context, async (client, options: SendOptions, name: string, bodies: readonly string[]) => {
    const given = bodies.length > 0 ? bodies : await readBodies(context, options.lines === true);
    return await sendMessages(client, name, given, options);
  });
  examples(
    send,
    ['millrace queues send my-app-events \'{"type":"welcome-email"}\''],
    ["millrace queues send my-app-events --text hello", "a plain text"],
    ["millrace queues send my-app-events --lines < events.ndjson", "a message a line"],
  );

  const peek = queues
    .command("peek")
    .summary("look at messages without taking them")
    .description("Shows the oldest messages of a queue. Nothing changes: they are not leased, no attempt is counted.")
    .argument("<name>", "the queue's name")
    .option("--count <number>", "how many", numberWithin(peekLimits.batchSize), 10);
  clientAction(peek, context, peekMessages);
  examples(peek, ["millrace queues peek my-app-events-dlq"], ["millrace queues peek my-app-events --count 100 --json"]);

  const { max } = pullLimits.visibilityTimeout;
  const seconds = { min: 0, max: max / 1_000, unit: "seconds" };
  const pull = queues
    .command("pull")
    .summary("take messages, as a pull consumer does")
    .description(
      "Leases messages of a queue that has a pull consumer. Without --ack they come back when the lease ends.",
    )
    .argument("<name>", "the queue's name")
    .option("--count <number>", "how many at most", numberWithin(pullLimits.batchSize), pullLimits.batchSize.default)
    .option("--visibility-timeout <seconds>", "how long the lease hides them from others", numberWithin(seconds))
    .option("--ack", "acknowledge them at once: they are gone");
  clientAction(pull, context, pullMessages);
  examples(pull, ["millrace queues pull my-app-events --count 10 --ack"]);
}

async function readBodies({ terminal }: CommandContext, lines: boolean): Promise<readonly string[]> {
  if (terminal.stdin.isTTY === true) throw usageFailure("nothing to send: give a body, or pipe one into the command.");
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let text = "";
  for await (const piece of terminal.stdin)
    text += typeof piece === "string" ? piece : decoder.decode(piece, { stream: true });
  text += decoder.decode();
  return lines ? text.split("\n").filter((line) => line.trim() !== "") : [text.replace(/\n$/, "")];
}

async function sendMessages(
  client: RestClient,
  name: string,
  bodies: readonly string[],
  { text, delay }: SendOptions,
): Promise<Outcome> {
  const { queue_id: id } = await requireQueue(client, name);
  const more = JSON.stringify({ content_type: text === true ? "text" : "json", delay_seconds: delay }).slice(1);
  const messages = bodies.map((body, index) => {
    const json = text === true ? JSON.stringify(body) : checkedJson(body, index, bodies.length);
    return `{"body":${json},${more}`;
  });
  let metadata: unknown;
  for (let sent = 0; sent < messages.length; sent += limits.batchSend.count.max) {
    const batch = messages.slice(sent, sent + limits.batchSend.count.max);
    const result =
      batch.length === 1
        ? await client.call("POST", `/queues/${id}/messages`, pushResult, new JsonText(batch.join()))
        : await client.call(
            "POST",
            `/queues/${id}/messages/batch`,
            pushResult,
            new JsonText(`{"messages":[${batch.join()}]}`),
          );
    ({ metadata } = result);
  }
  return {
    json: { sent: messages.length, metadata },
    people: () => `Sent ${plural(messages.length, "message")} to ${name}.`,
  };
}

/** JSON goes as it was given: parsed and written again, a long number would be another one. */
function checkedJson(text: string, index: number, of: number): string {
  try {
    JSON.parse(text);
    return text;
  } catch (error) {
    const which = of === 1 ? "the body" : `body ${index + 1}`;
    throw new CommandFailure(
      `${which} is not JSON: ${(error as SyntaxError).message}. Quote it for your shell, or add --text.`,
      {
        exitCode: 2,
        cause: error,
      },
    );
  }
}

async function peekMessages(client: RestClient, { count }: { readonly count: number }, name: string): Promise<Outcome> {
  const { queue_id: id } = await requireQueue(client, name);
  const { messages } = await client.call("POST", `/queues/${id}/messages/peek`, peekResult, { batch_size: count });
  const shown = messages.map((message) => ({ ...message, body: decodeBody(message) }));
  return {
    json: shown,
    people: () =>
      shown.length === 0
        ? `Queue ${name} is empty.`
        : shown
            .map((message) =>
              block(message, [
                message.attempts === 0 ? "never delivered" : plural(message.attempts, "attempt"),
                stateText(message.state, message.until_ms),
              ]),
            )
            .join("\n\n"),
  };
}

function stateText(state: "ready" | "delayed" | "leased", until: number | undefined): string | undefined {
  if (state === "ready" || until === undefined) return state === "ready" ? undefined : state;
  const left = Math.max(0, until - Date.now());
  return state === "delayed" ? `due in ${span(left)}` : `in flight, lease ends in ${span(left)}`;
}

async function pullMessages(client: RestClient, options: PullOptions, name: string): Promise<Outcome> {
  const { queue_id: id } = await requireQueue(client, name);
  const { messages } = await client.call("POST", `/queues/${id}/messages/pull`, pullResult, {
    batch_size: options.count,
    ...(options.visibilityTimeout === undefined ? {} : { visibility_timeout_ms: options.visibilityTimeout * 1_000 }),
  });
  const shown = messages.map((message) => ({ ...message, body: decodeBody(message) }));
  if (options.ack === true && messages.length > 0) {
    const acks = messages.map(({ lease_id }) => ({ lease_id }));
    await client.call("POST", `/queues/${id}/messages/ack`, ackResult, { acks });
  }
  return {
    json: shown,
    people: () =>
      shown.length === 0
        ? `Queue ${name} has nothing to deliver now.`
        : shown
            .map((message) =>
              block(message, [
                `attempt ${message.attempts}`,
                options.ack === true ? "acknowledged" : `lease ${message.lease_id}`,
              ]),
            )
            .join("\n\n"),
  };
}

/** One message: its facts on a line, its body below. */
function block(
  message: { readonly id: string; readonly timestamp_ms: number; readonly body: unknown },
  more: readonly (string | undefined)[],
): string {
  const head = [message.id, `sent ${when(message.timestamp_ms)}`, ...more.filter((part) => part !== undefined)].join(
    "  ",
  );
  return `${head}\n${showBody(message.body).replaceAll(/^/gm, "  ")}`;
}
