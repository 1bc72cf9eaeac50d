// Whole pages of the database are zeros, other bytes, or each other's, and the file is cut short: what is given out is what was
// accepted, what is missing is told, and the store opens all the same wherever anything can be read.

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { isMillraceError } from "../../src/core/index.ts";
import type { Tuning } from "../../src/engines/sqlite/ledger.ts";
import { ManualClock } from "../engines/harness.ts";
import { openInProcess } from "./in-process-link.ts";
import { seeded } from "./power-loss.ts";
import { copyFolder, stock, takeOut } from "./stocked.ts";
import { sweepsAll, sweepTimeoutMs } from "./sweep.ts";

const pageBytes = 4_096;
const tuning: Tuning = { foldBytes: 100_000, runsInMemory: 10, partsKept: 500, checkpointPages: 100_000 };
type Harm = (bytes: Buffer, page: number, random: () => number) => Buffer;

const harms: Readonly<Record<string, Harm>> = {
  "is zeros": (bytes, page) => bytes.fill(0, page * pageBytes, (page + 1) * pageBytes),
  "is other bytes": (bytes, page, random) => {
    for (let at = page * pageBytes; at < (page + 1) * pageBytes; at += 1) bytes[at] = Math.floor(random() * 256);
    return bytes;
  },
  "is another page": (bytes, page, random) => {
    const other = Math.floor(random() * (bytes.length / pageBytes)) * pageBytes;
    bytes.copyWithin(page * pageBytes, other, other + pageBytes);
    return bytes;
  },
  "is where the file ends": (bytes, page) => bytes.subarray(0, page * pageBytes + 1_000),
};

for (const [what, harm] of Object.entries(harms)) {
  test(
    `a page ${what}: nothing is given out wrong, and what is missing is told`,
    { timeout: sweepTimeoutMs },
    async (context) => {
      const folder = mkdtempSync(join(tmpdir(), "millrace-pages-"));
      const random = seeded(5);
      const counts = { opened: 0, mended: 0, refused: 0 };
      try {
        const stocked = await stock(join(folder, "whole"), tuning, true);
        const pristine = readFileSync(join(folder, "whole", "messages.db"));
        for (let page = 0; page < pristine.length / pageBytes; page += sweepsAll ? 1 : 3) {
          const copy = join(folder, "copy");
          copyFolder(join(folder, "whole"), copy);
          writeFileSync(join(copy, "messages.db"), harm(Buffer.from(pristine), page, random));
          const clock = new ManualClock();
          try {
            const store = openInProcess(copy, clock, tuning);
            store.database.exec("PRAGMA synchronous = OFF"); // nothing here is to last
            try {
              // Settings that are gone are told; what is there is right, which the rest of this sees.
              const isWithoutSettings = store.damage?.includes("settings") === true;
              const { records } = await store.engine.catalog.load();
              const expected = isWithoutSettings ? { ...stocked, records } : stocked;
              const { missing, refusals } = await takeOut(expected, store, clock, store.damage !== undefined);
              const told = store.damage !== undefined || refusals.length > 0 || store.takeDamaged().length > 0;
              assert.ok(missing === 0 || told, `page ${page}: ${missing} are missing without a word`);
              if (store.damage === undefined) counts.opened += 1;
              else counts.mended += 1;
            } finally {
              store.database.close();
            }
          } catch (error) {
            if (!isMillraceError(error, "DATA_DAMAGED")) throw error;
            counts.refused += 1;
          }
          rmSync(copy, { recursive: true, force: true });
        }
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
      context.diagnostic(JSON.stringify(counts));
      assert.ok(counts.refused <= 2, "hardly anything is beyond reading");
    },
  );
}
