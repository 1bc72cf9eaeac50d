// The mutation table does not rot: every mutant still finds its text, and the machinery that runs them catches one.
// The whole table: npm run simulate -- --mutants

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { mutants } from "./mutants.ts";
import { mutatedSource } from "./mutated-sources.ts";

test("every mutant changes one place of the sources", () => {
  for (const mutant of mutants) assert.doesNotThrow(() => mutatedSource(mutant));
  assert.equal(new Set(mutants.map(({ name }) => name)).size, mutants.length);
});

test("a mutant that drops half of a batch is caught", async () => {
  const program = fileURLToPath(new URL("run-mutant.ts", import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, [
    program,
    "only half of a batch is stored",
    "1",
    "50",
  ]);
  const { law } = JSON.parse(stdout) as { readonly law?: string };
  assert.equal(law, "conservation");
});
