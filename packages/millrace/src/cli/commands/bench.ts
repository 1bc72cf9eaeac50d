// `millrace bench`: how fast this machine is, and Millrace on it.

import { mkdtemp, rm } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join, resolve } from "node:path";
import type { Command } from "commander";
import { InvalidArgumentError } from "commander";
import { benchMachine, benchNames } from "../bench/machine-bench.ts";
import type { BenchReport } from "../bench/machine-bench.ts";
import { note, print, printJson } from "../command-context.ts";
import type { CommandContext } from "../command-context.ts";
import { CommandFailure } from "../command-failure.ts";
import { examples } from "../help-examples.ts";
import { numberWithin } from "../number-option.ts";
import { table } from "../tables.ts";

interface BenchOptions {
  readonly folder: string;
  readonly rounds: number;
  readonly seconds: number;
  readonly bytes: number;
  readonly json?: boolean;
}

/** No disk syncs as often; memory and disks that do not keep what they were told do. */
const tooManySyncs = 100_000;

export function addBench(program: Command, context: CommandContext): void {
  const bench = program
    .command("bench")
    .summary("measure this machine, and Millrace on it")
    .description(
      "Measures the disk, bare HTTP and a server of its own on this machine, taking turns, in under a minute. The server's data goes to a new folder that is removed again. Figures of one machine say little about another: compare the ratios.",
    )
    .option("--folder <path>", "where the new folder is made: on the disk to measure", ".")
    .option("--rounds <number>", "turns of each", numberWithin({ min: 1, max: 1_000, unit: "rounds" }), 3)
    .option("--seconds <number>", "length of a turn", positive, 1)
    .option("--bytes <number>", "of a message", numberWithin({ min: 32, max: 128_000, unit: "bytes" }), 200)
    .option("--json", "print JSON for programs");
  examples(bench, ["millrace bench"], ["millrace bench --folder /var/lib --rounds 10", "the disk of the data folder"]);
  bench.action(async (options: BenchOptions) => {
    const { rounds, seconds, bytes } = options;
    const folder = await newFolderIn(resolve(context.terminal.cwd, options.folder));
    try {
      const report = await benchMachine(context, { folder, rounds, seconds, bytes }, (text) => note(context, text));
      if (options.json === true) printJson(context, { ...machine(context), rounds, seconds, bytes, ...report });
      else print(context, reportText(context, report, options));
    } finally {
      await rm(folder, { recursive: true, force: true, maxRetries: 3 });
    }
  });
}

async function newFolderIn(folder: string): Promise<string> {
  try {
    return await mkdtemp(join(folder, ".millrace-bench-"));
  } catch (error) {
    const why = (error as NodeJS.ErrnoException).code ?? String(error);
    throw new CommandFailure(
      `No folder can be made in ${folder} (${why}). Name one that exists and can be written: --folder <path>.`,
      { cause: error },
    );
  }
}

function positive(text: string): number {
  const parsed = Number(text);
  if (parsed > 0 && parsed <= 600) return parsed;
  throw new InvalidArgumentError("Expected a number of seconds above 0, up to 600.");
}

function machine({ version }: CommandContext): {
  readonly millrace: string;
  readonly node: string;
  readonly cores: number;
} {
  return { millrace: version, node: process.version, cores: availableParallelism() };
}

function reportText(context: CommandContext, report: BenchReport, { rounds, seconds, bytes }: BenchOptions): string {
  const { millrace, node, cores } = machine(context);
  const rows = report.figures.map(({ name, perSecond, latencyMs }) => [
    name,
    whole(perSecond.median),
    `${whole(perSecond.least)}–${whole(perSecond.most)}`,
    ...[latencyMs.p50, latencyMs.p99, latencyMs.longest].map((ms) => ms.toFixed(2)),
  ]);
  const syncs = report.figures.find(({ name }) => name === benchNames.syncOne)?.perSecond.median ?? 0;
  return [
    `Millrace ${millrace}, Node ${node}, ${cores} cores: medians of ${rounds} rounds of ${seconds} s, ${bytes} bytes a message`,
    "",
    table(["", "a second", "range", "p50 ms", "p99 ms", "longest ms"], rows),
    "",
    table(
      ["ratio", ""],
      Object.entries(report.ratios).map(([name, ratio]) => [name, ratio.toFixed(2)]),
    ),
    "",
    `All ${whole(report.delivered)} messages that were pushed were pulled exactly once.`,
    ...(syncs > tooManySyncs
      ? ["This folder does not seem to be on a disk, or the disk does not keep what it is told to: see --folder."]
      : []),
  ].join("\n");
}

const whole = (value: number): string => Math.round(value).toLocaleString("en");
