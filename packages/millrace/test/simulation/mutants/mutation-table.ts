// Every mutant in a process of its own, and the table of what noticed it.

import { execFile } from "node:child_process";
import { availableParallelism } from "node:os";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { mutants } from "./mutants.ts";
import type { Mutant } from "./mutants.ts";

const runMutant = fileURLToPath(new URL("run-mutant.ts", import.meta.url));

export interface Caught {
  readonly mutant: Mutant;
  /** `undefined`: no law was broken. */
  readonly law: string | undefined;
  readonly histories: number;
}

/** Runs each mutant on histories from `first` on, at most `most`, until a law is broken. As many at once as there are cores. */
export async function catchMutants(first: number, most: number, told: (caught: Caught) => void): Promise<Caught[]> {
  const all: Caught[] = [];
  const waiting = mutants.entries();
  await Promise.all(
    Array.from({ length: availableParallelism() }, async () => {
      for (const [index, mutant] of waiting) {
        const { stdout } = await promisify(execFile)(
          process.execPath,
          [runMutant, mutant.name, String(first), String(most)],
          { env: { ...process.env, NODE_NO_WARNINGS: "1" } },
        );
        const { law, histories } = JSON.parse(stdout.trim().split("\n").at(-1) ?? "{}") as Omit<Caught, "mutant">;
        const caught = { mutant, law, histories };
        all[index] = caught;
        told(caught);
      }
    }),
  );
  return all;
}

/** The table as Markdown. */
export function mutationTable(caught: readonly Caught[]): string {
  const rows = caught.map(
    ({ mutant, law, histories }) => `| ${mutant.name} | \`${mutant.file}\` | ${law ?? "**none**"} | ${histories} |`,
  );
  return ["| Mutant | In | Caught by the law of | Histories needed |", "|---|---|---|---|", ...rows].join("\n");
}
