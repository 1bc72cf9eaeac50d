// The examples under a command's help.

import type { Command } from "commander";

/** Adds lines of `what to type` and what it does. */
export function examples(command: Command, ...lines: readonly (readonly [typed: string, does?: string])[]): Command {
  const width = Math.max(...lines.map(([typed]) => typed.length));
  const shown = lines.map(([typed, does]) =>
    does === undefined ? `  $ ${typed}` : `  $ ${typed.padEnd(width)}   ${does}`,
  );
  return command.addHelpText("after", `\nExamples:\n${shown.join("\n")}`);
}
