// `npm run simulate -- --seed 1 --minutes 5`: histories from a seed on, until the time is up or a law is broken.

import { availableParallelism } from "node:os";
import process from "node:process";
import { parseArgs } from "node:util";
import { generate } from "./generate.ts";
import { keep } from "./kept-history.ts";
import { catchMutants, mutationTable } from "./mutants/mutation-table.ts";
import { runHistories } from "./run-histories.ts";
import { shrink } from "./shrink.ts";
import { simulate } from "./simulation.ts";
import type { Statistics } from "./simulation.ts";

const help = `Simulates servers, clients and consumers over one store, with everything that can go wrong, and checks that no law is broken.

  npm run simulate -- [options]

  --seed N        the first history's seed; the next ones have N+1, N+2, … (default: by the clock)
  --histories K   how many histories (default: as many as the time allows)
  --minutes M     for how long (default: 1, or until --histories are done)
  --threads T     on how many threads (default: one a core)
  --verbose       tell what happens in each history (default: in one)
  --keep          write the history that breaks a law, cut down, to test/simulation/seeds, where it stays as a test
  --mutants       show that the checkers bite: run deliberate mistakes in the sources and print what noticed each
  --help          this text
`;

/** How often a long run tells how far it is. */
const tellEveryMs = 10_000;

const values = readArguments();
const seed = number("seed") ?? Math.floor(Date.now() / 1_000) * 1_000;
if (values.help) console.log(help);
else if (values.mutants) await runMutants();
else if (values.verbose) await tell();
else await run();

async function run(): Promise<void> {
  const most = number("histories") ?? Number.POSITIVE_INFINITY;
  const minutes = number("minutes") ?? (Number.isFinite(most) ? Number.POSITIVE_INFINITY : 1);
  const startedAt = performance.now();
  const until = startedAt + minutes * 60_000;
  let tellAt = startedAt + tellEveryMs;
  console.log(`Histories from seed ${seed} on.`);
  const { done, totals, broken } = await runHistories({
    first: seed,
    most,
    threads: number("threads") ?? availableParallelism(),
    goOn: () => performance.now() < until,
    told: (soFar) => {
      if (performance.now() < tellAt) return;
      tellAt += tellEveryMs;
      console.log(`${soFar} histories`);
    },
  });
  if (broken !== undefined) {
    process.exitCode = 1;
    return await report(broken);
  }
  const perMinute = Math.round(done / ((performance.now() - startedAt) / 60_000));
  console.log(`\n${done} histories (${perMinute} a minute), no law broken. In them:`);
  console.log(countersText(totals));
}

/** In groups, each with what its counters are. */
function countersText(totals: Statistics): string {
  const groups = {
    "asked: ": "What clients and the world did",
    "log: ": "Events in the servers' logs",
    "": "What came of it",
  };
  const left = new Map(Object.entries(totals).toSorted(([a], [b]) => (a < b ? -1 : 1)));
  const lines: string[] = [];
  for (const [prefix, title] of Object.entries(groups)) {
    lines.push("", `${title}:`);
    for (const [what, count] of left) {
      if (!what.startsWith(prefix)) continue;
      left.delete(what);
      lines.push(`${String(count).padStart(12)}  ${what.slice(prefix.length)}`);
    }
  }
  return lines.join("\n");
}

/** The same histories one after the other, event by event. */
async function tell(): Promise<void> {
  const most = number("histories") ?? 1;
  for (let done = 0; done < most; done += 1) {
    const { violation } = await simulate(generate(seed + done), (line) => console.log(line));
    if (violation === undefined) continue;
    process.exitCode = 1;
    return await report(seed + done);
  }
  console.log(`\n${most} histories, no law broken.`);
}

async function report(broken: number): Promise<void> {
  const history = generate(broken);
  const found = (await simulate(history)).violation;
  if (found === undefined) throw new Error(`seed ${broken} broke a law in one thread and does not in another`);
  console.log(`\nSeed ${broken} breaks a law.\n${found.message}\n\nCutting it down …`);
  const small = await shrink(history, found.law);
  const lines: string[] = [];
  const { violation } = await simulate(small, (line) => lines.push(line));
  console.log(`\nWith ${small.operations.length} operations and ${JSON.stringify(small.profile)}:\n`);
  console.log(lines.slice(-60).join("\n"));
  console.log(`\n${violation?.message}\n`);
  console.log(JSON.stringify(small));
  if (values.keep) console.log(`\nKept as ${keep(small, found.law)}: give it a title.`);
}

async function runMutants(): Promise<void> {
  const caught = await catchMutants(number("seed") ?? 1, number("histories") ?? 3_000, ({ mutant, law, histories }) =>
    console.log(
      `${law === undefined ? "NOT CAUGHT" : `caught by ${law}`} after ${histories} histories: ${mutant.name}`,
    ),
  );
  console.log(`\n${mutationTable(caught)}`);
  const missed = caught.filter(({ law }) => law === undefined);
  console.log(`\n${caught.length - missed.length} of ${caught.length} mutants caught.`);
  if (missed.length > 0) process.exitCode = 1;
}

function readArguments() {
  try {
    return parseArgs({
      options: {
        seed: { type: "string" },
        histories: { type: "string" },
        minutes: { type: "string" },
        threads: { type: "string" },
        verbose: { type: "boolean", default: false },
        keep: { type: "boolean", default: false },
        mutants: { type: "boolean", default: false },
        help: { type: "boolean", default: false },
      },
    }).values;
  } catch (error) {
    // A wrong call is told in a line, and how to call it right.
    console.error(`simulate: ${error instanceof Error ? error.message : String(error)}\n\n${help}`);
    process.exit(2);
  }
}

function number(name: "seed" | "histories" | "minutes" | "threads"): number | undefined {
  const text = values[name];
  if (text === undefined) return undefined;
  const parsed = Number(text);
  if (Number.isFinite(parsed) && parsed >= 0) return parsed;
  console.error(`--${name}: expected a number, got ${JSON.stringify(text)}`);
  process.exit(2);
}
