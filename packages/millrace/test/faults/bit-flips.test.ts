// One bit of the database is flipped, anywhere. It is told in words or makes no difference; what is given out is what was accepted;
// and what the bit is not part of can still be read.

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { inspect } from "node:util";
import { isMillraceError } from "../../src/core/index.ts";
import type { Tuning } from "../../src/engines/sqlite/ledger.ts";
import { ManualClock } from "../engines/harness.ts";
import { openInProcess } from "./in-process-link.ts";
import { seeded } from "./power-loss.ts";
import { copyFolder, stock, takeOut } from "./stocked.ts";
import { sweepsAll, sweepTimeoutMs } from "./sweep.ts";

const tries = Number(process.env["MILLRACE_FAULT_BITS"] ?? (sweepsAll ? 20_000 : 200));
const tuning: Tuning = { foldBytes: 100_000, runsInMemory: 10, partsKept: 500, checkpointPages: 100_000 };

for (const { name, closes } of [
  { name: "a database that was closed", closes: true },
  { name: "a database that was left", closes: false },
]) {
  test(`a flipped bit in ${name} is told, or makes no difference`, { timeout: sweepTimeoutMs }, async (context) => {
    const folder = mkdtempSync(join(tmpdir(), "millrace-flips-"));
    const seed = Number(process.env["MILLRACE_FAULT_SEED"] ?? 1);
    const random = seeded(seed);
    let lost = 0;
    const counts = {
      "no difference": 0,
      "mended when opened": 0,
      "messages set aside": 0,
      "something refused": 0,
      "not opened": 0,
    };
    const violations: string[] = [];
    try {
      const whole = join(folder, "whole");
      const stocked = await stock(whole, tuning, closes);
      const pristine = readFileSync(join(whole, "messages.db"));
      for (let number = 0; number < tries; number += 1) {
        const bit = Math.floor(random() * pristine.length * 8);
        const where = `page ${1 + Math.floor(bit / 8 / 4_096)}, byte ${Math.floor(bit / 8) % 4_096}, bit ${bit % 8}`;
        const copy = join(folder, "copy");
        copyFolder(whole, copy);
        const flipped = Buffer.from(pristine);
        flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        writeFileSync(join(copy, "messages.db"), flipped);
        try {
          const clock = new ManualClock();
          const store = openInProcess(copy, clock, tuning);
          store.database.exec("PRAGMA synchronous = OFF"); // nothing here is to last
          try {
            const { missing, refusals } = await takeOut(stocked, store, clock, store.damage !== undefined);
            const setAside = store.takeDamaged().reduce((sum, { positions }) => sum + positions.length, 0);
            if (missing > setAside && store.damage === undefined && refusals.length === 0)
              violations.push(`${where}: ${missing} are not given out, and ${setAside} are said to be set aside`);
            if (store.damage !== undefined) counts["mended when opened"] += 1;
            else if (refusals.length > 0) counts["something refused"] += 1;
            else if (missing > 0) counts["messages set aside"] += 1;
            else counts["no difference"] += 1;
            lost += missing;
          } finally {
            store.database.close();
          }
        } catch (error) {
          if (isMillraceError(error, "DATA_DAMAGED", "DATA_TOO_NEW")) counts["not opened"] += 1;
          else violations.push(`${where}: ${inspect(error)}`);
        }
        rmSync(copy, { recursive: true, force: true });
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
    context.diagnostic(`${tries} bits, seed ${seed}: ${JSON.stringify(counts)}; messages lost or set aside: ${lost}`);
    assert.deepEqual(violations, []);
  });
}
