// Runs benchmarks for people: prints as it goes, writes the results and the page.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Benchmark, RunOptions } from "./benchmark.ts";
import { readMachine } from "./machine.ts";
import { defaultBytes, readOptions, usage, WrongOption } from "./options.ts";
import type { Asked } from "./options.ts";
import { updatePage } from "./page.ts";
import { runBenchmark } from "./run.ts";

/** Of a benchmark's own file: only this one is run. */
export async function runAlone(benchmark: Benchmark): Promise<void> {
  await runAll([benchmark], process.argv.slice(2));
}

/** Runs those that are named, or all. Sets the exit code. */
export async function runAll(benchmarks: readonly Benchmark[], argv: readonly string[]): Promise<void> {
  if (argv.includes("--help") || argv.includes("-h")) {
    console.log(`${usage}\n\nNames: ${benchmarks.map(({ name }) => name).join(" ")}`);
    return;
  }
  const evidence = fileURLToPath(new URL("../../docs/evidence/performance", import.meta.url));
  const asked = await readAsked(benchmarks, argv, evidence);
  if (asked === undefined) {
    process.exitCode = 2;
    return;
  }
  const { names, options, results, folder } = asked;
  const root = await mkdtemp(join(folder, "millrace-bench-"));
  try {
    const machine = await readMachine(root);
    console.log(JSON.stringify(machine));
    for (const benchmark of benchmarks) {
      const isAsked =
        names.length === 0 ? !(options.quick && benchmark.isLong === true) : names.includes(benchmark.name);
      if (!isAsked) continue;
      console.log(`\n${benchmark.title} (${benchmark.name})`);
      const result = await runBenchmark(benchmark, { options, machine, folder: root, tell: console.log });
      if (results === undefined) continue;
      await writeFile(
        join(results, `${fileOf(benchmark.name, options)}.json`),
        `${JSON.stringify(result, rounded, 2)}\n`,
      );
    }
    if (results === evidence) await updatePage(evidence);
  } finally {
    await rm(root, { recursive: true, force: true, maxRetries: 3 });
  }
}

/** `undefined`: asked for wrongly, which is told. */
async function readAsked(
  benchmarks: readonly Benchmark[],
  argv: readonly string[],
  evidence: string,
): Promise<Asked | undefined> {
  try {
    const asked = await readOptions(argv, evidence);
    const unknown = asked.names.filter((name) => !benchmarks.some((benchmark) => benchmark.name === name));
    if (unknown.length === 0) return asked;
    const known = benchmarks.map(({ name }) => name).join(", ");
    throw new WrongOption(`There is no benchmark ${unknown.join(", ")}. There are: ${known}.`);
  } catch (error) {
    if (!(error instanceof WrongOption)) throw error;
    console.error(`${error.message}\n(npm run bench -- --help lists what there is)`);
    return undefined;
  }
}

/** Runs with other messages, a backlog or many queues stand beside the plain one and do not take its place. */
function fileOf(name: string, { bytes, backlog, queues }: RunOptions): string {
  return [
    name,
    ...(bytes === defaultBytes ? [] : [`bytes-${bytes}`]),
    ...(backlog === 0 ? [] : [`backlog-${backlog}`]),
    ...(queues === 1 ? [] : [`queues-${queues}`]),
  ].join("-");
}

/** Six digits say more than any run can. */
function rounded(_key: string, value: unknown): unknown {
  return typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(6)) : value;
}
