// The n-th call to the disk fails, for every n: once, for a while, with a full disk, with half a write, with a read-only file
// system. What failed has not happened, or says that nobody knows; everything else stands, also for whoever opens the files after
// the end of the process at that very moment; and nothing fails any more once the disk works again.
//
// Here some calls are tried, evenly spread; all of them with MILLRACE_FAULTS=all.

import assert from "node:assert/strict";
import { test } from "node:test";
import { everyChange, operations, whyNoFaultDisk } from "./fault-disk.ts";
import { sweep, sweepsAll, sweepTimeoutMs } from "./sweep.ts";
import type { SweepOrder } from "./sweep.ts";

interface Sweep extends Pick<SweepOrder, "operations" | "effect" | "error" | "failsForSteps" | "cachePages"> {
  readonly name: string;
  readonly every: number;
  /** What the step that meets the failure may be answered with; other than not noticing it. */
  readonly answers: readonly string[];
}

const failed = ["UNAVAILABLE", "UNKNOWN_OUTCOME", "open: UNAVAILABLE"];
// SQLite takes an error of reading for damage, and on most disks it is.
const unreadable = ["DATA_DAMAGED", "open: DATA_DAMAGED"];
const full = ["STORAGE_FULL", "open: STORAGE_FULL"];
const everything = everyChange | operations.read;

const sweeps: readonly Sweep[] = [
  {
    name: "one change fails",
    operations: everyChange,
    effect: "fail",
    error: "EIO",
    failsForSteps: 0,
    every: 5,
    answers: failed,
  },
  {
    name: "changes fail for a while",
    operations: everyChange,
    effect: "fail",
    error: "EIO",
    failsForSteps: 3,
    every: 7,
    answers: failed,
  },
  {
    name: "one read fails",
    operations: operations.read,
    effect: "fail",
    error: "EIO",
    failsForSteps: 0,
    cachePages: 4,
    every: 5,
    answers: [...failed, ...unreadable],
  },
  {
    name: "nothing works for a while",
    operations: everything,
    effect: "fail",
    error: "EIO",
    failsForSteps: 3,
    cachePages: 4,
    every: 13,
    answers: [...failed, ...unreadable],
  },
  {
    name: "the disk is full for a while",
    operations: operations.write | operations.truncate | operations.open,
    effect: "fail",
    error: "ENOSPC",
    failsForSteps: 4,
    every: 6,
    // A file that cannot be made for want of space is one that cannot be opened.
    answers: [...full, "UNAVAILABLE", "open: UNAVAILABLE"],
  },
  {
    name: "the disk fills up in the middle of a write",
    operations: operations.write,
    effect: "short",
    error: "ENOSPC",
    failsForSteps: 4,
    every: 7,
    answers: full,
  },
  {
    name: "the file system turns read-only for a while",
    operations: everyChange,
    effect: "fail",
    error: "EROFS",
    failsForSteps: 4,
    every: 11,
    answers: failed,
  },
];

const skip = (await whyNoFaultDisk()) ?? false;

for (const { name, every, answers, ...order } of sweeps) {
  test(
    `${name}: nothing accepted is lost, and the store goes on`,
    { skip, timeout: sweepTimeoutMs },
    async (context) => {
      const report = await sweep(order, every);
      const { calls, tried, violations, gaveUp, lasting } = report;
      context.diagnostic(
        `${tried} of ${calls} calls${sweepsAll ? "" : `, every ${every}th`}; answered: ${JSON.stringify(report.answers)}`,
      );
      assert.deepEqual(
        violations.map(({ at, words }) => `call ${at}: ${words}`),
        [],
      );
      assert.ok(calls > 100, "the history meets the disk often");
      assert.equal(gaveUp, 0, "the store never gives up for a while's failure");
      assert.equal(lasting, 0, "no step fails once the disk works");
      // `upkeep`: tidying up, closing or opening again, which nobody waits for or whose failure is told where it happens.
      const allowed = new Set([...answers, "none", "upkeep", "not reached"]);
      assert.deepEqual(
        Object.keys(report.answers).filter((answer) => !allowed.has(answer)),
        [],
      );
    },
  );
}
