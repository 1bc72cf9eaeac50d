// The tree of commands.

import { Command } from "commander";
import type { CommandContext } from "./command-context.ts";
import { addAudit } from "./commands/audit.ts";
import { addBench } from "./commands/bench.ts";
import { addBackup } from "./commands/backup.ts";
import { addDev } from "./commands/dev.ts";
import { addDoctor } from "./commands/doctor.ts";
import { addQueues } from "./commands/queues.ts";
import { addServe } from "./commands/serve.ts";
import { addTokens } from "./commands/tokens.ts";
import { addWorkers } from "./commands/workers.ts";
import { addWrangler } from "./commands/wrangler.ts";

/** `forwarded` are the arguments behind `--`, for wrangler. */
export function buildProgram(context: CommandContext, forwarded: readonly string[]): Command {
  const { stdout, stderr } = context.terminal;
  const width = (output: typeof stdout): number => Math.min(output.columns ?? 100, 120);
  const program = new Command("millrace")
    .description("Cloudflare Queues on your own machines: the same Worker, the same wrangler, durable by default.")
    .version(context.version, "-v, --version", "print the version")
    .helpOption("-h, --help", "show help for a command")
    .configureOutput({
      writeOut: (text) => void stdout.write(text),
      writeErr: (text) => void stderr.write(text),
      outputError: (text, write) => write(text.replace(/^error: /, "millrace: ")),
      getOutHelpWidth: () => width(stdout),
      getErrHelpWidth: () => width(stderr),
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    })
    .showHelpAfterError("(add --help to see how it is used)")
    .enablePositionalOptions()
    .exitOverride()
    .addHelpText(
      "after",
      `
Examples:
  $ millrace dev                                   host the Worker of ./wrangler.jsonc on this machine
  $ millrace wrangler queues create my-app-events  the project's own wrangler, pointed at the local server
  $ millrace queues send my-app-events '{"hello":"world"}'
  $ millrace serve --data /var/lib/millrace        the server alone, as a service runs it`,
    );
  addServe(program, context);
  addDev(program, context, forwarded);
  addWrangler(program, context);
  addQueues(program, context);
  addWorkers(program, context);
  addTokens(program, context);
  addAudit(program, context);
  addBackup(program, context);
  addDoctor(program, context);
  addBench(program, context);
  return program;
}
