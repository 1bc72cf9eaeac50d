// Runs cases: the contenders take turns, round after round, so that whatever else the machine does falls on all of them.

import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { Histogram } from "../../packages/millrace/src/cli/bench/histogram.ts";
import type { Benchmark, Case, Contender, Measurement, RunOptions } from "./benchmark.ts";
import { calmDisk } from "./calm-disk.ts";
import type { BenchmarkResult, CaseResult, Figure, RatioResult } from "./result.ts";
import type { Machine } from "./machine.ts";
import { spreadOf } from "../../packages/millrace/src/cli/bench/spread.ts";

/** Long enough for the compiler to have seen all there is to see, even before short turns. */
const warmUpSeconds = (seconds: number): number => Math.min(2, seconds);

export interface RunContext {
  readonly options: RunOptions;
  readonly machine: Machine;
  /** On the disk that is measured. */
  readonly folder: string;
  readonly tell: (line: string) => void;
}

export async function runBenchmark(benchmark: Benchmark, context: RunContext): Promise<BenchmarkResult> {
  const { options, machine, folder, tell } = context;
  const cases: CaseResult[] = [];
  for (const each of benchmark.cases(options)) {
    const own = await mkdtemp(join(folder, `${benchmark.name}-`));
    try {
      cases.push(await runCase(each, options, own, tell));
    } finally {
      await rm(own, { recursive: true, force: true, maxRetries: 3 });
    }
  }
  const { name, title } = benchmark;
  return { benchmark: name, title, measuredOn: new Date().toISOString().slice(0, 10), machine, options, cases };
}

async function runCase(
  each: Case,
  options: RunOptions,
  folder: string,
  tell: (line: string) => void,
): Promise<CaseResult> {
  const { name, what, unit, ratios, bounds = [], mostRounds = Number.POSITIVE_INFINITY } = each;
  tell(`${name}: ${what}`);
  if (!options.quick) {
    const { ms, isCalm } = await calmDisk(folder);
    if (!isCalm) tell(`  the disk was not calm after ${Math.round(ms / 1_000)} s: times are longer than they need be`);
  }
  await using opened = await each.open({ options, folder });
  const { contenders, notes = [] } = opened;
  for (const contender of contenders) await contender.run(warmUpSeconds(options.seconds), true);
  const turns = new Map<string, Measurement[]>(contenders.map((contender) => [contender.name, []]));
  const rounds = Math.min(options.rounds, mostRounds);
  for (let round = 0; round < rounds; round += 1) {
    for (const contender of contenders) {
      const measured = await contender.run(options.seconds, false);
      assertExact(contender, measured);
      turns.get(contender.name)?.push(measured);
      tell(`  round ${round + 1} of ${rounds}: ${contender.name} ${shown(measured.value)} ${unit}`);
    }
  }
  const figures = contenders.map((contender) => figureOf(contender.name, turns.get(contender.name) ?? []));
  const results = ratios.flatMap((ratio): RatioResult[] => {
    const of = turns.get(ratio.of);
    const to = turns.get(ratio.to);
    if (of === undefined || to === undefined) return []; // one of them could not take part
    // Within a round, so that a slow minute of the machine falls on both.
    const shares = of.map(({ value }, round) => value / (to[round]?.value ?? Number.NaN));
    return [{ ...ratio, ...spreadOf(shares) }];
  });
  for (const figure of figures) tell(`  ${summaryOf(figure, unit)}`);
  for (const { of, to, median } of results) tell(`  ${of} : ${to} = ${median.toFixed(2)}`);
  return { name, what, unit, figures, ratios: results, bounds, notes };
}

/** Nothing lost, nothing twice: a fast run that is wrong is no result. */
function assertExact({ name }: Contender, { check }: Measurement): void {
  if (check === undefined || (check.missing === 0 && check.duplicates === 0 && check.strangers === 0)) return;
  throw new Error(`${name} did not deliver exactly what was sent: ${JSON.stringify(check)}`);
}

function figureOf(name: string, turns: readonly Measurement[]): Figure {
  const latencies = turns.flatMap(({ latency }) => latency ?? []);
  const checks = turns.flatMap(({ check }) => check ?? []);
  const all = new Histogram();
  for (const latency of latencies) all.merge(latency);
  const median = (share: number): number => spreadOf(latencies.map((each) => each.percentileMs(share))).median;
  return {
    name,
    ...spreadOf(turns.map(({ value }) => value)),
    latencyMs:
      latencies.length === 0
        ? undefined
        : { p50: median(0.5), p99: median(0.99), longest: all.maxMs, count: all.count },
    delivered: checks.length === 0 ? undefined : checks.reduce((sum, { delivered }) => sum + delivered, 0),
    cpuUs: medians(turns.map(({ cpuUs }) => cpuUs)),
    facts: medians(turns.map(({ facts }) => facts)),
  };
}

/** What stands in a row of the page, for those who only see the run. */
function summaryOf({ name, median, latencyMs, delivered }: Figure, unit: string): string {
  return [
    `${name}: median ${shown(median)} ${unit.replace(" (median)", "")}`,
    ...(latencyMs === undefined ? [] : [`p50 ${shown(latencyMs.p50)} ms, p99 ${shown(latencyMs.p99)} ms`]),
    ...(delivered === undefined ? [] : [`${delivered.toLocaleString("en")} delivered, each once`]),
  ].join("; ");
}

function medians(each: readonly (Readonly<Record<string, number>> | undefined)[]): Record<string, number> | undefined {
  const records = each.filter((record) => record !== undefined);
  const names = new Set(records.flatMap((record) => Object.keys(record)));
  if (names.size === 0) return undefined;
  return Object.fromEntries(
    [...names].map((name) => [name, spreadOf(records.flatMap((record) => record[name] ?? [])).median]),
  );
}

const shown = (value: number): string => value.toLocaleString("en", { maximumSignificantDigits: 4 });
