// What a run leaves behind: a JSON file for each benchmark, from which the page is made.

import type { Bound, Ratio, RunOptions } from "./benchmark.ts";
import type { Machine } from "./machine.ts";
import type { Spread } from "../../packages/millrace/src/cli/bench/spread.ts";

export interface Figure extends Spread {
  readonly name: string;
  /** Medians over the rounds; the longest of all rounds. */
  readonly latencyMs?:
    | { readonly p50: number; readonly p99: number; readonly longest: number; readonly count: number }
    | undefined;
  /** Messages found by number after the runs: each exactly once, or there would be no result. */
  readonly delivered?: number | undefined;
  readonly cpuUs?: Readonly<Record<string, number>> | undefined;
  readonly facts?: Readonly<Record<string, number>> | undefined;
}

export interface RatioResult extends Ratio, Spread {}

export interface CaseResult {
  readonly name: string;
  readonly what: string;
  readonly unit: string;
  readonly figures: readonly Figure[];
  readonly ratios: readonly RatioResult[];
  readonly bounds: readonly Bound[];
  readonly notes: readonly string[];
}

export interface BenchmarkResult {
  readonly benchmark: string;
  readonly title: string;
  /** The day. */
  readonly measuredOn: string;
  readonly machine: Machine;
  readonly options: RunOptions;
  readonly cases: readonly CaseResult[];
}
