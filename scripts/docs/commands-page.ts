// docs/reference/commands.md: the help of every command, as the program prints it.

import { buildProgram } from "../../packages/millrace/src/cli/program.ts";
import { block } from "./markdown.ts";

type Command = ReturnType<typeof buildProgram>;

export function commandsPage(): string {
  let printed = "";
  const output = {
    write: (text: string) => {
      printed += text;
    },
    columns: 100,
  };
  const program = buildProgram(
    {
      terminal: { stdin: process.stdin, stdout: output, stderr: output, env: {}, cwd: "." },
      startServer: () => Promise.reject(new Error("the reference starts no server")),
      version: "",
      setExitCode: () => undefined,
    },
    [],
  );
  const helpOf = (command: Command): string => {
    printed = "";
    command.outputHelp();
    return printed;
  };
  const sections = commandsOf(program, "millrace").map(
    ({ name, command }) => `## ${name}\n\n${block(helpOf(command), "text")}`,
  );
  return `# Commands

What \`--help\` prints for each command. Inside a project the program is run as \`npx millrace …\`. Exit codes: 0 done, 1 failed, 2 called wrongly. Settings that \`serve\` and \`dev\` share are [described apart](settings.md).

${sections.join("\n\n")}
`;
}

function commandsOf(command: Command, name: string): readonly { readonly name: string; readonly command: Command }[] {
  const inner = command.commands.flatMap((child) => commandsOf(child, `${name} ${child.name()}`));
  return [{ name, command }, ...inner];
}
