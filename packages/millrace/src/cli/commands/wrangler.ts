// `millrace wrangler …`: the project's own wrangler, pointed at a Millrace server.

import type { Command } from "commander";
import { relative } from "node:path";
import { isMillraceError } from "../../core/index.ts";
import { CommandFailure } from "../command-failure.ts";
import { note } from "../command-context.ts";
import type { CommandContext } from "../command-context.ts";
import { examples } from "../help-examples.ts";
import { createRestClient } from "../rest-client.ts";
import { addTargetOptions, findTarget } from "../target.ts";
import type { Target, TargetOptions } from "../target.ts";
import { startTemporaryServer } from "../temporary-server.ts";
import { deployNotes } from "../wrangler/deploy-note.ts";
import { exitCodeOf, findWrangler, startWrangler, wranglerEnvironment } from "../wrangler/project-wrangler.ts";

export function addWrangler(program: Command, context: CommandContext): void {
  const wrangler = program
    .command("wrangler")
    .summary("run the project's wrangler against a Millrace server")
    .description(
      "Runs the wrangler that is installed in this project, with the three variables that point it at a Millrace server: the " +
        "one running on this machine, or the one named. When none runs, one is started on the data folder for this command alone.",
    )
    .argument("<args...>", "a wrangler command with its arguments")
    .usage("[options] <wrangler command and arguments...>")
    .allowUnknownOption()
    .passThroughOptions();
  addTargetOptions(wrangler);
  examples(
    wrangler,
    ["millrace wrangler queues create my-app-events"],
    ["millrace wrangler deploy"],
    ["millrace wrangler deploy --help", "wrangler's own help"],
    ["millrace wrangler --server http://queues.internal:8788 deploy", "a server elsewhere"],
  );
  wrangler.action(async (args: readonly string[], options: TargetOptions) => {
    context.setExitCode(await runWrangler(context, args, options));
  });
}

async function runWrangler(context: CommandContext, args: readonly string[], options: TargetOptions): Promise<number> {
  const { cwd, env } = context.terminal;
  const wrangler = await findWrangler(cwd);
  await using reached = await reachServer(context, options);
  const client = createRestClient(reached.target);
  const accountId = await client.accountId();
  const child = startWrangler(wrangler, args, {
    cwd,
    env: wranglerEnvironment({ ...reached.target, accountId }, env),
    stdio: "inherit",
  });
  // Ctrl+C reaches wrangler by itself; this process waits for how it ends. What is sent to this process alone is passed on.
  const ignore = (): void => undefined;
  const passOn = (): void => void child.kill("SIGTERM");
  process.on("SIGINT", ignore);
  process.on("SIGTERM", passOn);
  try {
    const exitCode = await exitCodeOf(child);
    if (exitCode === 0) {
      const notes = await deployNotes({ wrangler, args, client, cwd, env }).catch(() => []); // wrangler has done its work
      for (const text of notes) note(context, `millrace: ${text}`);
    }
    return exitCode;
  } finally {
    process.off("SIGINT", ignore);
    process.off("SIGTERM", passOn);
  }
}

interface ReachedServer extends AsyncDisposable {
  readonly target: Target;
}

async function reachServer(context: CommandContext, options: TargetOptions): Promise<ReachedServer> {
  const found = await findTarget(options, context.terminal);
  if (found.kind === "found") return { target: found.target, [Symbol.asyncDispose]: async () => undefined };
  const shown = relative(context.terminal.cwd, found.data) || ".";
  note(context, `millrace: no server runs on ${shown}; starting one for this command.`);
  try {
    return await startTemporaryServer(context, found.data);
  } catch (error) {
    if (!isMillraceError(error, "DATA_LOCKED")) throw error;
    throw new CommandFailure(`a server that is starting or stopping holds ${shown}. Try again in a moment.`, {
      cause: error,
    });
  }
}
