// Each engine against the model, over random histories. A failure prints seed, path and the shrunk history; run it again with
// MILLRACE_MODEL_SEED and MILLRACE_MODEL_PATH. MILLRACE_MODEL_RUNS sets how many histories each engine gets.

import { test } from "node:test";
import process from "node:process";
import fc from "fast-check";
import { openMemoryEngine } from "../../src/engines/memory/index.ts";
import type { EngineUnderTest, Restart } from "./harness.ts";
import { ManualClock, notDurable } from "./harness.ts";
import { follow, histories } from "./random-history.ts";
import { sqliteUnderTest } from "./sqlite-harness.ts";

const memory: EngineUnderTest = {
  name: "memory",
  durable: false,
  create: async (clock) => ({
    engine: await openMemoryEngine({ clock }),
    ...notDurable,
    destroy: async () => {},
  }),
};

const subjects: readonly (readonly [engine: EngineUnderTest, runs: number])[] = [
  [memory, 500],
  [sqliteUnderTest("sqlite", {}), 12],
  [sqliteUnderTest("sqlite, folding all the time", { foldBytes: 300, runsInMemory: 0, partsKept: 0 }), 12],
];

for (const [underTest, runs] of subjects) {
  test(`${underTest.name}: random histories end as in the model`, async () => {
    const clock = new ManualClock();
    let opened = await underTest.create(clock);
    const subject = {
      clock,
      engine: () => opened.engine,
      restart: async (how: Restart): Promise<void> => {
        if (underTest.durable) opened = await opened[how]();
      },
    };
    const { MILLRACE_MODEL_RUNS, MILLRACE_MODEL_SEED, MILLRACE_MODEL_PATH } = process.env;
    try {
      await fc.assert(
        fc.asyncProperty(histories, async (history) => {
          await follow(subject, history);
        }),
        {
          numRuns: MILLRACE_MODEL_RUNS === undefined ? runs : Number(MILLRACE_MODEL_RUNS),
          // Shrinking a failure takes long where every command waits for the disk.
          interruptAfterTimeLimit: 120_000,
          markInterruptAsFailure: true,
          ...(MILLRACE_MODEL_SEED !== undefined && { seed: Number(MILLRACE_MODEL_SEED) }),
          ...(MILLRACE_MODEL_PATH !== undefined && { path: MILLRACE_MODEL_PATH }),
        },
      );
    } finally {
      await opened.engine[Symbol.asyncDispose]();
      await opened.destroy();
    }
  });
}
