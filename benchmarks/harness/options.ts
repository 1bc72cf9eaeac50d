// How benchmarks are asked for on the command line.

import { mkdir, stat } from "node:fs/promises";
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

/** Benchmarks were asked for wrongly: a sentence for people that says what is expected. */
export class WrongOption extends Error {
  override readonly name = "WrongOption";
}

/** What each number may be; `unit` says what is counted. */
const limits = {
  rounds: { min: 1, max: 1_000, unit: "rounds" },
  seconds: { min: 0.01, max: 86_400, unit: "seconds" },
  connections: { min: 1, max: 10_000, unit: "connections" },
  bytes: { min: 32, max: 128_000, unit: "bytes" },
  backlog: { min: 0, max: 1_000_000_000, unit: "messages" },
  queues: { min: 1, max: 10_000, unit: "queues" },
  duration: { min: 0.01, max: 86_400, unit: "seconds" },
} as const;

const isFraction = (unit: string): boolean => unit === "seconds";

/** Throws `WrongOption` for an option that does not exist or fit, and for a folder that is not there. Makes that of the results. */
export async function readOptions(argv: readonly string[], evidence: string): Promise<Asked> {
  const { values, positionals } = parse(argv);
  const { quick } = values;
  const number = (name: keyof typeof limits, otherwise: number): number => {
    const text = values[name];
    if (text === undefined) return otherwise;
    const { min, max, unit } = limits[name];
    const parsed = text.trim() === "" ? Number.NaN : Number(text);
    const isFitting = parsed >= min && parsed <= max && (isFraction(unit) || Number.isInteger(parsed));
    if (isFitting) return parsed;
    const what = isFraction(unit) ? "a number" : "a whole number";
    throw new WrongOption(`--${name}: expected ${what} of ${unit} from ${min} to ${max}, got "${text}".`);
  };
  const given = values.results ?? (quick ? "-" : evidence);
  const asked = {
    names: positionals,
    options: {
      quick,
      rounds: number("rounds", quick ? 2 : 5),
      seconds: number("seconds", quick ? 1 : 5),
      connections: number("connections", 64),
      bytes: number("bytes", defaultBytes),
      backlog: number("backlog", 0),
      queues: number("queues", 1),
      duration: number("duration", quick ? 3 : 60),
      peers: values.peers.toLowerCase().split(",").filter(Boolean),
      profile: values.profile,
    },
    results: given === "-" ? undefined : given,
    folder: values.folder ?? (await diskFolder()),
  };
  if (values.folder !== undefined) await checkFolder(values.folder);
  // The results come at the end, hours later perhaps: their folder is made before.
  if (asked.results !== undefined) await makeFolder(asked.results);
  return asked;
}

async function checkFolder(folder: string): Promise<void> {
  const isThere = await stat(folder).then(
    (found) => found.isDirectory(),
    () => false,
  );
  if (!isThere) throw new WrongOption(`--folder: expected a folder that exists, got "${folder}".`);
}

async function makeFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true });
  } catch (error) {
    const why = (error as NodeJS.ErrnoException).code ?? String(error);
    throw new WrongOption(`--results: expected a folder that exists or can be made, got "${folder}" (${why}).`, {
      cause: error,
    });
  }
}

/** Throws `WrongOption` for what is no option or lacks its value. */
function parse(argv: readonly string[]): ReturnType<typeof parseAll> {
  try {
    return parseAll(argv);
  } catch (error) {
    const isMisuse =
      error instanceof TypeError && String((error as NodeJS.ErrnoException).code).startsWith("ERR_PARSE_ARGS");
    throw isMisuse ? new WrongOption(error.message, { cause: error }) : error;
  }
}

function parseAll(argv: readonly string[]) {
  return parseArgs({
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
