// The reference pages that come from the code say what the code says now.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";

import { repositoryRoot } from "./repository-files.ts";

test("no generated page is out of date: `npm run docs:generate` writes them", () => {
  const generator = join(repositoryRoot, "scripts/generate-docs.ts");
  const { status, stdout, stderr } = spawnSync(process.execPath, [generator, "--check"], { encoding: "utf8" });
  assert.equal(status, 0, stdout + stderr);
});
