// The crash loop from the command line: `npm run prove`. Progress on stderr, the result on stdout; fails when anything was lost or
// cannot be explained, and then keeps the data folder to look into.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { crashLoop, ledgerOf } from "./crash-loop.ts";
import { longRun } from "./faults.ts";
import { readLedger } from "./ledger.ts";
import { describeMachine } from "./machine.ts";
import { summary, writeReport } from "./report.ts";
import { judge } from "./verify/verdict.ts";

const evidence = fileURLToPath(new URL("../../docs/evidence", import.meta.url));

const help = `npm run prove -- [options]

Kills the real server and its Workers at random moments while messages are sent and consumed, and accounts for every one.

  --kills <number>    how often something is killed (${longRun}: about ten minutes)
  --seed <number>     which faults, in which order (default: a new one, printed)
  --folder <folder>   where the data is put, for the sake of its file system (default: the system's temporary folder)
  --report <folder>   write crash-loop.md and crash-loop.json there (default: docs/evidence, for ${longRun} kills and more)
  --keep              keep data, server log and ledger even when all is well
  --judge <file>      judge the ledger of an earlier run instead of running
`;

process.once("SIGINT", () => process.exit(130));
process.once("SIGTERM", () => process.exit(143));
// Not by itself: where the run broke off, producers still wait for a server that does not come back.
process.exit(await main());

async function main(): Promise<number> {
  const values = readArguments();
  if (values.help) {
    console.log(help);
    return 0;
  }
  if (values.judge !== undefined) return await conclude(values.judge);

  const kills = wholeNumber("--kills", values.kills);
  const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : wholeNumber("--seed", values.seed);
  const folder = await mkdtemp(join(values.folder, "millrace-prove-"));
  const began = performance.now();
  const progress = (line: string): void => {
    const seconds = Math.round((performance.now() - began) / 1_000);
    console.error(`${String(seconds).padStart(5)} s  ${line}`);
  };
  progress(`seed ${seed}, ${kills} kills, in ${folder}${kills >= longRun ? "; --kills 20 takes a minute" : ""}`);
  try {
    const redeliveryRounds = kills >= longRun ? 20 : 2;
    await crashLoop({ seed, kills, folder, redeliveryRounds, progress });
    progress("the ledger is judged");
    const report = values.report ?? (kills >= longRun ? evidence : undefined);
    const exitCode = await conclude(ledgerOf(folder), { folder, report });
    if (exitCode === 0 && !values.keep) await rm(folder, { recursive: true, maxRetries: 5 });
    else console.error(`Data, server log and ledger: ${folder}`);
    return exitCode;
  } catch (error) {
    console.error(error);
    console.error(`The run did not come to its end. Data, server log and ledger: ${folder}`);
    return 1;
  }
}

function readArguments() {
  try {
    return parseArgs({
      options: {
        kills: { type: "string", default: String(longRun) },
        seed: { type: "string" },
        folder: { type: "string", default: tmpdir() },
        report: { type: "string" },
        keep: { type: "boolean", default: false },
        judge: { type: "string" },
        help: { type: "boolean", default: false },
      },
    }).values;
  } catch (error) {
    return calledWrongly(error instanceof Error ? error.message : String(error));
  }
}

/** A wrong call is told in a line, and how to call it right. */
function calledWrongly(what: string): never {
  console.error(`prove: ${what}\n\n${help}`);
  process.exit(2);
}

/** Judges a ledger, tells and reports; answers the exit code. */
async function conclude(
  ledger: string,
  run?: { readonly folder: string; readonly report: string | undefined },
): Promise<number> {
  const verdict = judge(await readLedger(ledger));
  console.log(summary(verdict));
  if (run?.report !== undefined) {
    const date = new Date().toISOString().slice(0, 10);
    await writeReport(run.report, { date, machine: await describeMachine(run.folder), verdict });
    console.error(`Report: ${run.report}`);
  }
  return verdict.isGood ? 0 : 1;
}

function wholeNumber(name: string, text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  return calledWrongly(`${name}: expected a whole number, got ${text}`);
}
