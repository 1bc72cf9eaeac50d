// A command that talks to a server: its options, its client, its result as a table for people or JSON for programs.

import type { Command } from "commander";
import { note, print, printJson } from "./command-context.ts";
import type { CommandContext } from "./command-context.ts";
import { createRestClient } from "./rest-client.ts";
import type { RestClient } from "./rest-client.ts";
import { addTargetOptions, requireTarget } from "./target.ts";
import type { TargetOptions } from "./target.ts";

export interface ClientOptions extends TargetOptions {
  readonly json?: boolean;
}

/** What a command found out or did, in both forms. `people` is only asked for when people read it. */
export interface Outcome {
  readonly json: unknown;
  readonly people: () => string;
}

/** The options and arguments are whatever the command declares: commander hands them over untyped. */
type Act = (client: RestClient, options: never, ...args: never[]) => Promise<Outcome>;

/** Makes a command of a function that uses the API. `act` gets the client, the command's options and its arguments. */
export function clientAction(command: Command, context: CommandContext, act: Act): Command {
  addTargetOptions(command).option("--json", "print JSON for programs");
  return command.action(async (...all: unknown[]) => {
    // Commander calls with the arguments, then the options, then the command itself.
    const args = all.slice(0, -2) as never[];
    const options = all.at(-2) as ClientOptions;
    const client = createRestClient(await requireTarget(options, context.terminal));
    client.onNote = (text) => note(context, text);
    const outcome = await act(client, options as never, ...args);
    if (options.json === true) {
      printJson(context, outcome.json);
      return;
    }
    const text = outcome.people();
    if (text !== "") print(context, text);
  });
}
