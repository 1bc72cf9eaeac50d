// Runs the scripted history once while everything it does to its files is recorded, and reports what there was to see after each
// step. Runs on a disk of fault-disk.ts, which may fail it; told what to do by its argument, a `RecordOrder` in JSON.

import { writeSync } from "node:fs";
import process from "node:process";
import { makeMessageId } from "../../src/core/index.ts";
import { ManualClock } from "../engines/harness.ts";
import { FaultControl } from "./fault-disk.ts";
import { everythingSeen, orders } from "./history.ts";
import type { Seen } from "./history.ts";
import { openInProcess } from "./in-process-link.ts";
import type { RecordOrder, StepSeen } from "./recording.ts";
import { HistoryRun, tuning } from "./run.ts";

const order = JSON.parse(process.argv[2] ?? "") as RecordOrder;
using control = new FaultControl(order.controlFile);
control.skipSyncs();
const aside = async <T>(body: () => Promise<T>): Promise<T> => await control.aside(body);
const steps: StepSeen[] = [];

switch (order.part) {
  case "whole":
  case "untilFailure":
    await runHistory();
    break;
  case "afterwards":
    await runAfterwards(order.stepsBefore);
    break;
  default:
    order satisfies never;
}
writeSync(1, JSON.stringify(steps));
if (order.part !== "whole") process.kill(process.pid, "SIGKILL");

async function runHistory(): Promise<void> {
  const history = await HistoryRun.open(order.folder, order.cachePages);
  if (order.fault !== undefined) control.arm(order.fault);
  const look = async (error: Error | undefined, isSoonOnDisk = false): Promise<void> => {
    const now = history.clock.now();
    const seen = await aside(async () => await everythingSeen(history.store.engine));
    const failed = error?.message;
    steps.push({ now, seen: [seen, ...(await history.seenOtherwise())], failed, isSoonOnDisk });
    control.step = steps.length - 1;
  };
  await look(undefined);
  while (!history.isOver) {
    const { step, error } = await history.next({ always: true, aside });
    await look(error, step.isSoonOnDisk);
    if (error !== undefined && order.part === "untilFailure") return;
  }
  await aside(async () => await history.close());
}

/** What the next server does that finds what a killed one left. */
async function runAfterwards(stepsBefore: readonly StepSeen[]): Promise<void> {
  const clock = new ManualClock();
  const last = stepsBefore.at(-1);
  if (last !== undefined) clock.advance(last.now - clock.now());
  const { engine } = openInProcess(order.folder, clock, tuning);
  const look = async (otherwise: readonly Seen[]): Promise<void> => {
    steps.push({
      now: clock.now(),
      seen: [await everythingSeen(engine), ...otherwise],
      failed: undefined,
      isSoonOnDisk: false,
    });
    control.step = stepsBefore.length + steps.length - 1;
  };
  await look(last?.seen ?? []);
  for (let number = 1; number <= 3; number += 1) {
    const random = new Uint8Array(10).fill(number);
    const id = makeMessageId(clock.now(), random);
    const body = new Uint8Array(100 * number);
    await engine.send(orders, [{ id, sentAt: clock.now(), contentType: "text", body, visibleAt: undefined }]);
    await look([]);
  }
}
