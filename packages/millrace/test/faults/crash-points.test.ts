// The process ends at every call to the disk, before it, after it and in the middle of it; or the power fails there, and of what
// was not synced nothing is left, or any part of it. Whatever was answered is there when the files are opened again.
//
// Made from one recorded run, so it costs an opening for each. Here some are tried, all of them with MILLRACE_FAULTS=all.

import assert from "node:assert/strict";
import { test } from "node:test";
import { DiskImage } from "./disk-record.ts";
import { whyNoFaultDisk } from "./fault-disk.ts";
import { PowerLoss, seeded } from "./power-loss.ts";
import { Recording } from "./recording.ts";
import { sweepsAll, sweepTimeoutMs } from "./sweep.ts";

const skip = (await whyNoFaultDisk()) ?? false;
const histories = [
  { name: "", cachePages: undefined },
  { name: ", with little memory", cachePages: 4 },
] as const;

for (const { name, cachePages } of histories) {
  const record = async (): Promise<Recording> => await Recording.make(cachePages === undefined ? {} : { cachePages });

  test(`the process may end at any call to the disk${name}`, { skip, timeout: sweepTimeoutMs }, async (context) => {
    await using recording = await record();
    const every = sweepsAll ? 1 : 4;
    const image = new DiskImage();
    let tried = 0;
    for (const [index, change] of recording.changes.entries()) {
      if (index % every === 0) {
        await recording.check(image, index);
        tried += 1;
        if (change.kind === "write") {
          const torn = image.copy();
          torn.apply({ ...change, data: change.data.subarray(0, change.data.length / 2) });
          await recording.check(torn, index);
        }
      }
      image.apply(change);
    }
    await recording.check(image, recording.changes.length);
    // The record is what happened: it ends with the very files.
    for (const file of ["messages.db", "messages.db-wal"])
      assert.deepEqual(image.get(file), recording.file(file), file);
    context.diagnostic(`${tried} of ${recording.changes.length} calls`);
  });

  test(`the power may fail at any call to the disk${name}`, { skip, timeout: sweepTimeoutMs }, async (context) => {
    await using recording = await record();
    const every = sweepsAll ? 1 : 6;
    const tries = sweepsAll ? 8 : 2;
    const seed = Number(process.env["MILLRACE_FAULT_SEED"] ?? 1);
    const random = seeded(seed);
    const loss = new PowerLoss();
    let tried = 0;
    for (const [index, change] of recording.changes.entries()) {
      // The first calls make the database: each of them is tried.
      if (index % every === 0 || index < 20) {
        await recording.check(loss.worst(), index, { machineFails: true });
        for (let times = 0; times < tries; times += 1)
          await recording.check(loss.anyOf(random), index, { machineFails: true });
        tried += 1 + tries;
      }
      loss.follow(change);
    }
    await recording.check(loss.worst(), recording.changes.length, { machineFails: true });
    context.diagnostic(`${tried} ends at ${recording.changes.length} calls, seed ${seed}`);
  });
}
