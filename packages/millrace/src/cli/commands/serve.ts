// `millrace serve`: the server, until it is told to stop.

import type { Command } from "commander";
import type { CommandContext } from "../command-context.ts";
import { examples } from "../help-examples.ts";
import { runServer } from "../run-server.ts";
import { addSettingOptions, readSettings, variablesHelp } from "../setting-options.ts";

export function addServe(program: Command, context: CommandContext): void {
  const serve = program
    .command("serve")
    .summary("run the server: queues, REST API, console, hosted Workers")
    .description("Runs the server until SIGTERM or SIGINT, then drains: batches in flight finish or go back unharmed.");
  addSettingOptions(serve).addHelpText("after", () => variablesHelp());
  examples(
    serve,
    ["millrace serve", "data in ./.millrace, for this machine alone"],
    ["millrace serve --data /var/lib/millrace --log-format json", "as a service"],
    ["millrace serve --port 0 --worker-port 0 --log-format json", "any free ports: the ready event names them"],
  );
  serve.action(async (flags: Record<string, string | boolean>) => {
    const { settings, warnings } = readSettings(context, flags);
    context.setExitCode(await runServer(context, { settings, warnings, story: false, endsWithParent: false }));
  });
}
