// A sync fails, once. The kernel then forgets what it could not write: later syncs succeed without it, and it reads well until the
// power fails. Whatever is answered after the failure must be there all the same, also when the server was killed and started again
// in between.

import assert from "node:assert/strict";
import { test } from "node:test";
import { operations, whyNoFaultDisk } from "./fault-disk.ts";
import type { Fault } from "./fault-disk.ts";
import { PowerLoss } from "./power-loss.ts";
import { Recording } from "./recording.ts";
import { sweepsAll, sweepTimeoutMs } from "./sweep.ts";

const skip = (await whyNoFaultDisk()) ?? false;
const failing = (at: number): Fault => ({ operations: operations.sync, at, last: at, effect: "fail", error: "EIO" });

/** Lets the power fail at every call after the one that failed; answers whether one did. */
async function checkAfterFailure(recording: Recording, every: number): Promise<boolean> {
  const loss = new PowerLoss();
  let calls: number | undefined;
  for (const [index, change] of recording.changes.entries()) {
    if (calls !== undefined) {
      if (calls % every === 0) await recording.check(loss.worst(), index, { machineFails: true });
      calls += 1;
    }
    if (change.kind === "failedSync") calls = 0;
    loss.follow(change);
  }
  await recording.check(loss.worst(), recording.changes.length, { machineFails: true });
  return calls !== undefined;
}

test("after a sync that failed the power fails", { skip, timeout: sweepTimeoutMs }, async (context) => {
  // Where the commit before was not to be synced by itself, which is the case that matters: the 11th, the 35th, the 43rd.
  const step = sweepsAll ? 1 : 4;
  let at = sweepsAll ? 1 : 3;
  for (let failed = true; failed; at += step) {
    await using recording = await Recording.make({ fault: failing(at) });
    failed = await checkAfterFailure(recording, sweepsAll ? 1 : 5);
  }
  context.diagnostic(`every ${step}th of ${at} syncs`);
  assert.ok(at > 30);
});

test(
  "after a sync that failed the server is killed, started again, and the power fails",
  { skip, timeout: sweepTimeoutMs },
  async (context) => {
    const step = sweepsAll ? 1 : 7;
    let at = 1;
    for (let failed = true; failed; at += step) {
      await using recording = await Recording.makeWithRestart(failing(at));
      failed = await checkAfterFailure(recording, 1);
    }
    context.diagnostic(`every ${step}th of ${at} syncs`);
    assert.ok(at > 30);
  },
);
