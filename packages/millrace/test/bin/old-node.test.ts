// What the command says under a Node that cannot run it.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const command = fileURLToPath(new URL("../../bin/millrace.js", import.meta.url));

/** Runs the command with another version in `process.versions`; everything else is this Node. */
function runUnder(version: string): { readonly status: number | null; readonly stderr: string } {
  const disguise = `Object.defineProperty(process, "versions", { value: { ...process.versions, node: "${version}" } })`;
  const preload = `data:text/javascript,${encodeURIComponent(disguise)}`;
  return spawnSync(process.execPath, ["--import", preload, command, "--version"], { encoding: "utf8" });
}

for (const version of ["0.12.18", "9.11.2", "23.11.1"]) {
  test(`Node ${version} is told in one line what is needed`, () => {
    const { status, stderr } = runUnder(version);
    assert.equal(status, 1);
    assert.match(stderr, /^millrace needs Node 24 or newer, and this is Node [\d.]+\. Install .+\n$/);
    assert.ok(stderr.includes(version));
  });
}

test("Node 24 and later are let through", () => {
  assert.deepEqual(
    ["24.0.0", "100.0.0"].map((version) => runUnder(version).status),
    [0, 0],
  );
});
