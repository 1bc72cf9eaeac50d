// `millrace queues …`: look at queues, change them, send and take messages.

import type { Command } from "commander";
import type { CommandContext } from "../command-context.ts";
import { examples } from "../help-examples.ts";
import { addQueueChanges } from "./queue-changes.ts";
import { addQueueConsumers } from "./queue-consumers.ts";
import { addQueueInspection } from "./queue-inspection.ts";
import { addQueueMessages } from "./queue-messages.ts";
import { addQueueRedrive } from "./queue-redrive.ts";
import { addQueueTransfer } from "./queue-transfer.ts";

export function addQueues(program: Command, context: CommandContext): void {
  const queues = program
    .command("queues")
    .summary("look at queues, change them, send and take messages")
    .description(
      "Works with the queues of a running server: the one on this machine, or another one named by --server.",
    );
  addQueueInspection(queues, context);
  addQueueChanges(queues, context);
  addQueueMessages(queues, context);
  addQueueRedrive(queues, context);
  addQueueTransfer(queues, context);
  addQueueConsumers(queues, context);
  examples(
    queues,
    ["millrace queues list"],
    ['millrace queues send my-app-events \'{"type":"welcome-email"}\''],
    ["millrace queues peek my-app-events-dlq", "look without taking"],
    ["millrace queues list --json", "for programs"],
  );
}
