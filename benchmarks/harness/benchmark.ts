// What a benchmark is: cases, each with contenders that do the same work and take turns, and the ratios that are the result.

import type { Histogram } from "../../packages/millrace/src/cli/bench/histogram.ts";
import type { DeliveryCheck } from "../../packages/millrace/src/cli/bench/pull-load.ts";

/** How a run is done. All of it stands in the result. */
export interface RunOptions {
  readonly rounds: number;
  /** Of one turn of one contender. */
  readonly seconds: number;
  readonly connections: number;
  /** Of one message. */
  readonly bytes: number;
  /** Stored in the same server before anything is measured. */
  readonly backlog: number;
  /** Over which the messages are spread. */
  readonly queues: number;
  /** Of a turn of the steady state, in seconds. */
  readonly duration: number;
  /** A short run: fewer cases too. */
  readonly quick: boolean;
  /** Words of the names of other queues that take part; none: all. */
  readonly peers: readonly string[];
  /** Writes CPU profiles of the server's threads here. */
  readonly profile: string | undefined;
}

export interface Context {
  readonly options: RunOptions;
  /** An empty folder on the disk that is measured; it goes after the case. */
  readonly folder: string;
}

/** What one turn of one contender came to. */
export interface Measurement {
  /** In the case's unit. */
  readonly value: number;
  readonly latency?: Histogram | undefined;
  readonly check?: DeliveryCheck | undefined;
  /** Processor time for each unit of work, by process, in microseconds. */
  readonly cpuUs?: Readonly<Record<string, number>> | undefined;
  /** Anything else worth keeping, by name with its unit. */
  readonly facts?: Readonly<Record<string, number>> | undefined;
}

export interface Contender {
  readonly name: string;
  /** One turn. `isWarmUp`: its result is thrown away. */
  run(seconds: number, isWarmUp: boolean): Promise<Measurement>;
}

export interface Ratio {
  readonly of: string;
  readonly to: string;
  /** At least this is wanted; with `isTime`, at most. */
  readonly target?: number | undefined;
}

/** A bound on a contender's own figure, in the case's unit or of a time in milliseconds. */
export interface Bound {
  readonly of: string;
  readonly what: "value" | "p50" | "p99" | "longest" | { readonly fact: string };
  readonly atLeast?: number;
  readonly atMost?: number;
}

export interface OpenCase extends AsyncDisposable {
  readonly contenders: readonly Contender[];
  /** For example what could not take part, and why. */
  readonly notes?: readonly string[];
}

export interface Case {
  readonly name: string;
  /** One sentence: the work, and what the contenders are. */
  readonly what: string;
  readonly unit: string;
  readonly ratios: readonly Ratio[];
  readonly bounds?: readonly Bound[] | undefined;
  /** Fewer rounds than were asked for, where a turn is long. */
  readonly mostRounds?: number;
  open(context: Context): Promise<OpenCase>;
}

export interface Benchmark {
  /** As it is asked for on the command line; the name of its results file. */
  readonly name: string;
  readonly title: string;
  /** Too long for a quick run that does not ask for it by name. */
  readonly isLong?: boolean;
  readonly cases: (options: RunOptions) => readonly Case[];
}
