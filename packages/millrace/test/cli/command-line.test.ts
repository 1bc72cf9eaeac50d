// How the command line answers before any command does its work: help, mistakes, exit codes.
import assert from "node:assert/strict";
import { tmpdir } from "node:os";
import { describe, test } from "node:test";
import type { Command } from "commander";
import { buildProgram } from "../../src/cli/program.ts";
import { processTerminal } from "../../src/cli/terminal.ts";
import { cli } from "./cli-harness.ts";

const cwd = tmpdir();

function allCommands(command: Command, path: readonly string[] = []): readonly (readonly [string[], Command])[] {
  return command.commands.flatMap((child) => {
    const here = [...path, child.name()];
    return [[here, child] as const, ...allCommands(child, here)];
  });
}

const program = buildProgram(
  {
    terminal: processTerminal(),
    startServer: () => Promise.reject(new Error("not here")),
    version: "0",
    setExitCode: () => undefined,
  },
  [],
);

describe("help", () => {
  for (const [path, command] of allCommands(program)) {
    test(`millrace ${path.join(" ")} --help explains itself, with examples`, async () => {
      const { exitCode, stdout, stderr } = await cli([...path, "--help"], { cwd });
      assert.equal(exitCode, 0, stderr);
      assert.ok(stdout.startsWith(`Usage: millrace ${path.join(" ")}`), stdout);
      assert.notEqual(command.description(), "");
      assert.match(stdout, /^Examples:\n {2}\$ millrace /m);
      for (const { description, flags } of command.options) assert.notEqual(description, "", flags);
      assert.equal(stderr, "");
    });
  }

  test("without a command, help is shown and nothing failed", async () => {
    const { exitCode, stdout } = await cli([], { cwd });
    assert.equal(exitCode, 0);
    for (const name of ["serve", "dev", "wrangler", "queues", "workers", "tokens", "audit", "doctor"]) {
      assert.match(stdout, new RegExp(String.raw`^ {2}${name} `, "m"));
    }
  });

  test("--version prints the version alone", async () => {
    assert.deepEqual(await cli(["--version"], { cwd }), { exitCode: 0, stdout: "1.2.3\n", stderr: "" });
  });
});

describe("a command line that cannot be meant", () => {
  for (const [args, message] of [
    [["serv"], /unknown command 'serv'\n\(Did you mean serve\?\)/],
    [["queues", "lst"], /unknown command 'lst'\n\(Did you mean list\?\)/],
    [["serve", "--prot", "1"], /unknown option '--prot'\n\(Did you mean --port\?\)/],
    [["queues", "peek", "q", "--cuont", "3"], /Did you mean --count\?/],
    [["queues", "peek"], /missing required argument 'name'/],
    [["queues", "list", "extra"], /too many arguments/],
    [["queues", "peek", "q", "--count", "101"], /whole number of messages from 1 to 100/],
    [["queues", "send", "q", "{}", "--delay", "86401"], /whole number of seconds from 0 to 86400/],
    [["queues", "send", "q", "{}", "--delay", "-1"], /from 0 to 86400/],
    [["tokens", "create", "ci"], /required option '--scope/],
    [["wrangler"], /missing required argument/],
    [["queues"], /^Usage: millrace queues/],
  ] as const) {
    test(`millrace ${args.join(" ")}: told, and exit code 2`, async () => {
      const { exitCode, stdout, stderr } = await cli(args, { cwd });
      assert.match(stderr, message);
      assert.equal(exitCode, 2);
      assert.equal(stdout, "");
    });
  }

  test("settings are refused all together, before anything starts", async () => {
    const { exitCode, stderr } = await cli(["serve", "--port", "x", "--host", "0.0.0.0"], { cwd });
    assert.equal(exitCode, 2);
    assert.match(stderr, /--port: expected a whole number/);
    assert.match(stderr, /--host: .*--insecure/);
  });
});
