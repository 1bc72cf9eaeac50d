// `millrace workers logs`: follows what a Worker does and prints, over the same live tail that `wrangler tail` uses.

import type { Command } from "commander";
import { z } from "zod";
import { CommandFailure } from "../command-failure.ts";
import { print } from "../command-context.ts";
import type { CommandContext } from "../command-context.ts";
import { examples } from "../help-examples.ts";
import { createRestClient } from "../rest-client.ts";
import { stopSignals } from "../stop-signals.ts";
import { addTargetOptions, requireTarget } from "../target.ts";
import { traceText } from "../trace-text.ts";
import type { TargetOptions } from "../target.ts";

const tailView = z.looseObject({ id: z.string(), url: z.string() });

interface LogOptions extends TargetOptions {
  readonly json?: boolean;
}

export function addWorkerLogs(workers: Command, context: CommandContext): void {
  const logs = workers
    .command("logs")
    .description("Follows what a Worker does and prints, until Ctrl+C.")
    .argument("<name>", "the Worker's name");
  addTargetOptions(logs).option("--json", "print each invocation as a line of JSON");
  examples(logs, ["millrace workers logs my-app"], ["millrace workers logs my-app --json | jq .logs"]);
  logs.action(async (name: string, options: LogOptions) => await followLogs(context, name, options));
}

async function followLogs(context: CommandContext, name: string, options: LogOptions): Promise<void> {
  const client = createRestClient(await requireTarget(options, context.terminal));
  const tails = `/workers/scripts/${encodeURIComponent(name)}/tails`;
  const { id, url } = await client.call("POST", tails, tailView, { filters: [] });
  using signals = stopSignals({ parent: false });
  const socket = new WebSocket(url, "trace-v1");
  try {
    const { promise: ended, resolve, reject } = Promise.withResolvers<void>();
    socket.addEventListener("close", ({ code }) => {
      if (code === 1000) resolve();
      else reject(new CommandFailure("the server ended the log. Is it still running?"));
    });
    socket.addEventListener("message", ({ data }: { readonly data: unknown }) => {
      const text = typeof data === "string" ? data : Buffer.from(data as ArrayBuffer).toString("utf8");
      print(context, options.json === true ? text : traceText(text));
    });
    await Promise.race([ended, signals.requested]);
  } finally {
    socket.close();
    // The server forgets a tail by itself too, when its time is over.
    await client.call("DELETE", `${tails}/${id}`, z.unknown()).catch(() => undefined);
  }
}
