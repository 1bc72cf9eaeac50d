// Runs the scripted history once for each call to the disk, failing that call, and reports what came of it. Runs on a failing disk
// (fault-disk.ts); told what to do by its argument, a `SweepOrder` in JSON.

import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { isMillraceError } from "../../src/core/index.ts";
import { FaultControl } from "./fault-disk.ts";
import type { Fault } from "./fault-disk.ts";
import { openInProcess } from "./in-process-link.ts";
import { codeOf, HistoryRun, tuning } from "./run.ts";
import type { SweepOrder, SweepReport } from "./sweep.ts";

const order = JSON.parse(process.argv[2] ?? "") as SweepOrder;
const control = new FaultControl(order.controlFile);
control.skipSyncs();

let runs = 0;

interface RunReport {
  /** Calls to the disk there were. */
  readonly calls: number;
  /** What the first failure was answered with, `none` when nobody noticed; `undefined` when nothing failed. */
  readonly answer: string | undefined;
  /** Steps that failed though nothing failed any more. */
  readonly lasting: number;
  readonly gaveUp: boolean;
}

/** Runs the history with a fault; throws when something is not as it must be. */
async function runOnce(fault: Fault, failsForSteps: number): Promise<RunReport> {
  runs += 1;
  const folder = mkdtempSync(join(order.folder, "run-"));
  let gaveUp = false;
  let answer: string | undefined;
  let lasting = 0;
  control.arm(fault);
  const run = await open(folder);
  if (run.answer !== undefined) ({ answer } = run);
  const { history } = run;
  const look = {
    get always() {
      return control.failed > 0;
    },
    aside: async <T>(body: () => Promise<T>) => await control.aside(body),
  };
  let failingSteps = control.failed > 0 ? 1 : 0;
  try {
    while (!history.isOver) {
      if (failingSteps > failsForSteps) control.mend();
      const isMended = failingSteps > failsForSteps;
      const { error } = await history.next(look);
      gaveUp ||= history.gaveUp;
      if (error !== undefined && !isMillraceError(error) && !isOfSqlite(error))
        throw new Error("a step failed in a way of its own", { cause: error });
      if (error !== undefined && isMended && codeOf(error) !== "QUEUE_NOT_FOUND") lasting += 1;
      if (control.failed > 0) {
        if (failingSteps === 0) {
          answer = codeOf(error);
          // As it would be found after the end of the process at this very moment.
          await look.aside(async () => await checkCopy(history, folder));
        }
        failingSteps += 1;
      }
    }
    control.mend();
    await look.aside(async () => {
      await checkCopy(history, folder);
      await history.close();
      history.reopen();
      await history.assertSame("opened again at the end");
      await history.close();
    });
  } finally {
    if (history.store.database.isOpen) history.store.database.close();
    rmSync(folder, { recursive: true, force: true });
  }
  return { calls: control.count, answer, lasting, gaveUp };
}

/** Opening may fail by the fault, and works once it is gone. */
async function open(folder: string): Promise<{ readonly history: HistoryRun; readonly answer: string | undefined }> {
  try {
    return { history: await HistoryRun.open(folder, order.cachePages), answer: undefined };
  } catch (error) {
    if (!isMillraceError(error)) throw error;
    control.mend();
    return { history: await HistoryRun.open(folder, order.cachePages), answer: `open: ${error.code}` };
  }
}

async function checkCopy(history: HistoryRun, folder: string): Promise<void> {
  const copy = join(folder, "copy");
  mkdirSync(copy, { recursive: true });
  for (const { name } of readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isFile()))
    copyFileSync(join(folder, name), join(copy, name));
  const store = openInProcess(copy, history.clock, tuning);
  try {
    await history.assertSameOrUndecided(store.engine, "found after the end of the process");
  } finally {
    await store.engine[Symbol.asyncDispose]();
    rmSync(copy, { recursive: true, force: true });
  }
}

function isOfSqlite(error: unknown): boolean {
  return error instanceof Error && "errcode" in error;
}

const { operations, effect, error, failsForSteps } = order;
const noFault: Fault = { operations, at: 0, last: 0, effect, error };
const { calls } = await runOnce(noFault, 0);
const answers: Record<string, number> = {};
const violations: SweepReport["violations"][number][] = [];
let tried = 0;
let gaveUp = 0;
let lasting = 0;
for (let at = order.first; at <= calls; at += order.every) {
  tried += 1;
  try {
    const last = failsForSteps === 0 ? at : Number.MAX_SAFE_INTEGER;
    const report = await runOnce({ operations, at, last, effect, error }, failsForSteps);
    const answer = report.answer ?? "not reached";
    answers[answer] = (answers[answer] ?? 0) + 1;
    if (report.gaveUp) gaveUp += 1;
    lasting += report.lasting;
  } catch (thrown) {
    violations.push({ at, words: thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown) });
    if (violations.length >= 5) break;
  }
}
const report: SweepReport = { calls, tried, runs, answers, gaveUp, lasting, violations };
writeSync(1, JSON.stringify(report));
