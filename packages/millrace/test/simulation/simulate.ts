// `npm run simulate -- --seed 1 --minutes 5`: histories from a seed on, until the time is up or a law is broken.

import process from "node:process";
import { parseArgs } from "node:util";
import { generate } from "./generate.ts";
import type { History } from "./history.ts";
import { keep } from "./kept-history.ts";
import { catchMutants, mutationTable } from "./mutants/mutation-table.ts";
import { shrink } from "./shrink.ts";
import { simulate } from "./simulation.ts";
import type { Statistics } from "./simulation.ts";
import type { Law } from "./violation.ts";

const help = `Simulates servers, clients and consumers over one store, with everything that can go wrong, and checks that no law is broken.

  npm run simulate -- [options]

  --seed N        the first history's seed; the next ones have N+1, N+2, … (default: by the clock)
  --histories K   how many histories (default: as many as the time allows)
  --minutes M     for how long (default: 1, or until --histories are done)
  --verbose       tell what happens in each history
  --keep          write the history that breaks a law, cut down, to test/simulation/seeds, where it stays as a test
  --mutants       show that the checkers bite: run deliberate mistakes in the sources and print what noticed each
  --help          this text
`;

/** How often a long run tells how far it is. */
const tellEveryMs = 10_000;

const { values } = parseArgs({
  options: {
    seed: { type: "string" },
    histories: { type: "string" },
    minutes: { type: "string" },
    verbose: { type: "boolean", default: false },
    keep: { type: "boolean", default: false },
    mutants: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});
const seed = number("seed") ?? Math.floor(Date.now() / 1_000) * 1_000;
if (values.help) console.log(help);
else if (values.mutants) await runMutants();
else await runHistories();

async function runHistories(): Promise<void> {
  const most = number("histories") ?? Number.POSITIVE_INFINITY;
  const minutes = number("minutes") ?? (Number.isFinite(most) ? Number.POSITIVE_INFINITY : 1);
  const startedAt = performance.now();
  const until = startedAt + minutes * 60_000;
  const totals: Statistics = {};
  let tellAt = startedAt + tellEveryMs;
  let done = 0;
  console.log(`Histories from seed ${seed} on.`);
  while (done < most && performance.now() < until) {
    const history = generate(seed + done);
    const { violation, statistics } = await simulate(history, values.verbose ? (line) => console.log(line) : undefined);
    done += 1;
    for (const [what, count] of Object.entries(statistics)) totals[what] = (totals[what] ?? 0) + count;
    if (violation !== undefined) {
      console.log(`\nSeed ${history.seed} breaks a law.\n${violation.message}\n`);
      await report(history, violation.law);
      process.exitCode = 1;
      return;
    }
    if (performance.now() >= tellAt) {
      tellAt += tellEveryMs;
      console.log(`${done} histories, no law broken`);
    }
  }
  const perMinute = Math.round(done / ((performance.now() - startedAt) / 60_000));
  console.log(`\n${done} histories (${perMinute} a minute), no law broken. In them:`);
  for (const [what, count] of Object.entries(totals).toSorted(([a], [b]) => (a < b ? -1 : 1)))
    console.log(`${String(count).padStart(12)}  ${what}`);
}

async function report(history: History, law: Law): Promise<void> {
  console.log("Cutting it down …");
  const small = await shrink(history, law);
  const lines: string[] = [];
  const { violation } = await simulate(small, (line) => lines.push(line));
  console.log(`\nWith ${small.operations.length} operations and ${JSON.stringify(small.profile)}:\n`);
  console.log(lines.slice(-60).join("\n"));
  console.log(`\n${violation?.message}\n`);
  console.log(JSON.stringify(small));
  if (values.keep) console.log(`\nKept as ${keep(small, law)}: give it a title.`);
}

async function runMutants(): Promise<void> {
  const caught = await catchMutants(number("seed") ?? 1, number("histories") ?? 1_000, ({ mutant, law, histories }) =>
    console.log(
      `${law === undefined ? "NOT CAUGHT" : `caught by ${law}`} after ${histories} histories: ${mutant.name}`,
    ),
  );
  console.log(`\n${mutationTable(caught)}`);
  const missed = caught.filter(({ law }) => law === undefined);
  console.log(`\n${caught.length - missed.length} of ${caught.length} mutants caught.`);
  if (missed.length > 0) process.exitCode = 1;
}

function number(name: "seed" | "histories" | "minutes"): number | undefined {
  const text = values[name];
  if (text === undefined) return undefined;
  const parsed = Number(text);
  if (Number.isFinite(parsed) && parsed >= 0) return parsed;
  console.error(`--${name}: expected a number, got ${JSON.stringify(text)}`);
  process.exit(2);
}
