// Histories that broke a law once, cut down, with what was wrong. Each stays as a test.

import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import type { History } from "./history.ts";
import type { Law } from "./violation.ts";

export interface KeptHistory {
  /** One sentence: what must hold, as a test's name. */
  readonly title: string;
  /** The law that was broken. */
  readonly law: string;
  readonly history: History;
}

const folder = new URL("./seeds/", import.meta.url);

// A history is written by this program alone; the shape is checked as far as telling a wrong file takes.
const keptHistory = z.object({
  title: z.string(),
  law: z.string(),
  history: z.object({
    seed: z.number(),
    profile: z.object(),
    queues: z.array(z.object()),
    operations: z.array(z.object()),
  }),
});

export function keptHistories(): readonly KeptHistory[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith(".json"))
    .toSorted()
    .map((name) => {
      const text = readFileSync(new URL(name, folder), "utf8");
      const kept: unknown = JSON.parse(text);
      keptHistory.parse(kept);
      return kept as KeptHistory;
    });
}

/** Writes a history into the folder of kept ones; answers the file. Its title is for a person to write. */
export function keep(history: History, law: Law): string {
  const file = new URL(`${law}-${history.seed}.json`, folder);
  const kept: KeptHistory = { title: `TODO: say what must hold (${law})`, law, history };
  writeFileSync(file, `${JSON.stringify(kept, null, 2)}\n`);
  return fileURLToPath(file);
}
