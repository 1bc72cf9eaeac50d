// Loads the product's sources with one text changed. Works for this process alone; nothing is written.

import { readFileSync } from "node:fs";
import { registerHooks } from "node:module";
import type { Mutant } from "./mutants.ts";

const sources = new URL("../../../src/", import.meta.url);

/** The source of the mutant's file as it is, with the change. Throws when the text is not there exactly once. */
export function mutatedSource({ name, file, find, replace }: Mutant): string {
  const source = readFileSync(new URL(file, sources), "utf8");
  const times = source.split(find).length - 1;
  if (times !== 1)
    throw new Error(
      `mutant "${name}" no longer applies: its text is ${times} times in src/${file}; mend test/simulation/mutants/mutants.ts`,
    );
  return source.replace(find, () => replace);
}

/** From now on, whoever imports the mutant's file gets the changed one. */
export function loadMutated(mutant: Mutant): void {
  const target = new URL(mutant.file, sources).href;
  const source = mutatedSource(mutant);
  registerHooks({
    load(url, context, nextLoad) {
      if (url !== target) return nextLoad(url, context);
      return { ...nextLoad(url, context), source };
    },
  });
}
