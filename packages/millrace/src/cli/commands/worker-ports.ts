// `millrace workers listen`: a port that the Worker's own process listens on, beside the port that all Workers share.

import type { Command } from "commander";
import type { z } from "zod";
import { hostedWorkerView, listenPort } from "../../contract/rest/index.ts";
import { plural } from "../../observability/index.ts";
import { clientAction } from "../client-command.ts";
import type { Outcome } from "../client-command.ts";
import { CommandFailure } from "../command-failure.ts";
import type { CommandContext } from "../command-context.ts";
import { examples } from "../help-examples.ts";
import { numberWithin } from "../number-option.ts";
import type { RestClient } from "../rest-client.ts";

type HostedWorker = z.infer<typeof hostedWorkerView>;

interface ListenOptions {
  readonly listenPort?: number;
  readonly listenHost?: string;
  readonly off?: boolean;
}

export function addWorkerListen(workers: Command, context: CommandContext): void {
  const listen = workers
    .command("listen")
    .summary("give a Worker a port of its own")
    .description(
      "Gives a Worker a port that its own process listens on, beside the port that all Workers share: faster, and every host name leads to it. The server keeps it over restarts and deploys.",
    )
    .argument("<name>", "the Worker's name")
    .option("--listen-port <number>", "the port; 0 takes any free one, and keeps it", numberWithin(listenPort))
    .option(
      "--listen-host <address>",
      "the address (default: 127.0.0.1); others than loopback need a server with --insecure",
    )
    .option("--off", "take the port away again");
  clientAction(listen, context, listenOn);
  examples(
    listen,
    ["millrace workers listen my-app --listen-port 9000"],
    ["millrace workers listen my-app --off", "only the shared port again"],
  );
}

async function listenOn(client: RestClient, options: ListenOptions, name: string): Promise<Outcome> {
  const { listenPort: port, listenHost: host, off } = options;
  const path = `/millrace/workers/${encodeURIComponent(name)}/listen`;
  if (off === true) {
    if (port !== undefined || host !== undefined) throw new CommandFailure("--off goes with no other option.");
    const worker = await client.call("DELETE", path, hostedWorkerView);
    return { json: worker, people: () => `${name} has no port of its own.` };
  }
  if (port === undefined) throw new CommandFailure("Say which port: --listen-port <number>, or --off.");
  const worker = await client.call("PUT", path, hostedWorkerView, { port, ...(host !== undefined && { host }) });
  return { json: worker, people: () => `${name} listens on ${worker.listen?.url}.` };
}

/** A Worker's own port, in a word or in a sentence. */
export function portText({ listen }: HostedWorker): string | undefined {
  if (listen === undefined || listen.open) return listen?.url;
  return `${listen.url}, not open${listen.problem === undefined ? "" : `: ${listen.problem}`}`;
}

/** What `millrace doctor` says of all own ports. */
export function checkPorts(workers: readonly HostedWorker[]): {
  readonly verdict: "good" | "note" | "bad";
  readonly text: string;
} {
  const closed = workers.filter(({ listen }) => listen?.open === false);
  if (closed.length > 0) {
    const said = closed.map((worker) => `${worker.name} cannot be reached through ${portText(worker)}`).join("; ");
    return { verdict: "bad", text: `${said}. Free the port, or choose another: millrace workers listen` };
  }
  const open = workers.filter(({ listen }) => listen !== undefined).length;
  return open === 0
    ? { verdict: "note", text: "no Worker has a port of its own" }
    : { verdict: "good", text: `${plural(open, "Worker")} with a port of its own` };
}
