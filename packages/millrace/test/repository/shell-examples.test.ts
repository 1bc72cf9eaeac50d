// Every `millrace` command in a shell example of the documentation exists, with the options it is given.
import assert from "node:assert/strict";
import { test } from "node:test";

import { buildProgram } from "../../src/cli/program.ts";
import { processTerminal } from "../../src/cli/terminal.ts";
import { readRepositoryFile, repositoryFiles } from "./repository-files.ts";

const program = buildProgram(
  {
    terminal: processTerminal(),
    startServer: () => Promise.reject(new Error("not here")),
    version: "0",
    setExitCode: () => undefined,
  },
  [],
);

test("every millrace command in an example exists, with its options", () => {
  const wrong = repositoryFiles(/\.md$/).flatMap((page) =>
    commandsOf(readRepositoryFile(page)).flatMap((words) => {
      const problem = problemOf(words);
      return problem === undefined ? [] : [`${page}: millrace ${words.join(" ")}: ${problem}`];
    }),
  );
  assert.deepEqual(wrong, []);
});

/** The words after `millrace` in blocks of shell code. Comments and what stands behind a pipe are left out. */
function commandsOf(markdown: string): string[][] {
  const blocks = [...markdown.matchAll(/^```sh\n([^]*?)^```/gm)].map((match) => match[1] ?? "");
  return blocks
    .flatMap((block) => block.replaceAll("\\\n", " ").split("\n"))
    .flatMap((line) => /(?:^|\s)(?:npx )?millrace (.*)$/.exec(line)?.[1] ?? [])
    .map((rest) => wordsOf(rest));
}

function wordsOf(text: string): string[] {
  const words = [...text.matchAll(/'[^']*'|"[^"]*"|[^\s'"]+/g)].map(([word]) => word);
  const end = words.findIndex((word) => /^(?:#|\||>|&&|;)/.test(word));
  return end === -1 ? words : words.slice(0, end);
}

function problemOf(words: readonly string[]): string | undefined {
  let command = program;
  for (const [index, word] of words.entries()) {
    const inner = command.commands.find((each) => each.name() === word);
    if (inner !== undefined && command !== inner) {
      command = inner;
      if (command.name() === "wrangler") return undefined; // the rest is wrangler's
      continue;
    }
    if (word.startsWith("-") && !knows(command, word)) return `there is no option ${word}`;
    if (index === 0 && !word.startsWith("-")) return "there is no such command";
  }
  if (command.commands.length === 0) return undefined;
  return words.length > 0 && words.every((word) => word.startsWith("-")) ? undefined : "the command is not complete";
}

function knows(command: typeof program, word: string): boolean {
  const name = word.split("=", 1)[0];
  if (name === "--help" || name === "--version") return true;
  return command.options.some(({ long, short }) => long === name || short === name);
}
