// How benchmarks are asked for on the command line.

import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { RunOptions } from "./benchmark.ts";
import { isInMemory } from "./machine.ts";

export interface Asked {
  /** None: all. */
  readonly names: readonly string[];
  readonly options: RunOptions;
  /** Where results are written; `undefined`: nowhere. */
  readonly results: string | undefined;
  /** Where the data of the runs goes. */
  readonly folder: string;
}

/** Of a message, where nothing else is asked for. */
export const defaultBytes = 200;

export const usage = `npm run bench -- [names] [options]

  --quick                short turns and fewer cases: about two minutes for all
  --rounds <n>           turns of each contender (5; quick: 2)
  --seconds <n>          length of a turn (5; quick: 1)
  --connections <n>      connections, each with one request under way (64)
  --bytes <n>            of a message (200)
  --backlog <n>          also measure a server that holds so many messages (0)
  --queues <n>           also measure the work spread over so many queues (1)
  --duration <n>         length of a turn of the steady state, in seconds (60; quick: 3)
  --peers <words>        of other queues, only those whose names contain one of these words, as in nats,bullmq
  --folder <path>        a folder on the disk to measure (the system's folder for temporary files)
  --results <path>       where the JSON results go; - for nowhere (docs/evidence/performance, only without --quick)
  --profile <path>       CPU profiles of the server's threads go here`;

/** Throws a `TypeError` in words for an option that does not exist or fit. */
export async function readOptions(argv: readonly string[], evidence: string): Promise<Asked> {
  const { values, positionals } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      quick: { type: "boolean", default: false },
      rounds: { type: "string" },
      seconds: { type: "string" },
      connections: { type: "string" },
      bytes: { type: "string" },
      backlog: { type: "string" },
      queues: { type: "string" },
      duration: { type: "string" },
      peers: { type: "string", default: "" },
      folder: { type: "string" },
      results: { type: "string" },
      profile: { type: "string" },
    },
  });
  const { quick } = values;
  const number = (
    name: "rounds" | "seconds" | "connections" | "bytes" | "backlog" | "queues" | "duration",
    otherwise: number,
  ): number => {
    const text = values[name];
    if (text === undefined) return otherwise;
    const parsed = Number(text);
    if (Number.isFinite(parsed) && parsed >= 0) return parsed;
    throw new TypeError(`--${name}: expected a number, got ${text}`);
  };
  const given = values.results ?? (quick ? "-" : evidence);
  return {
    names: positionals,
    options: {
      quick,
      rounds: Math.max(1, number("rounds", quick ? 2 : 5)),
      seconds: number("seconds", quick ? 1 : 5),
      connections: Math.max(1, number("connections", 64)),
      bytes: Math.max(32, number("bytes", defaultBytes)),
      backlog: number("backlog", 0),
      queues: Math.max(1, number("queues", 1)),
      duration: number("duration", quick ? 3 : 60),
      peers: values.peers.toLowerCase().split(",").filter(Boolean),
      profile: values.profile,
    },
    results: given === "-" ? undefined : given,
    folder: values.folder ?? (await diskFolder()),
  };
}

/** Temporary files are often kept in memory, where a sync costs nothing. */
async function diskFolder(): Promise<string> {
  for (const folder of [tmpdir(), "/var/tmp"]) {
    try {
      if (!(await isInMemory(folder))) return folder;
    } catch {
      // Not there: the next one.
    }
  }
  return join(import.meta.dirname, "../../node_modules");
}
