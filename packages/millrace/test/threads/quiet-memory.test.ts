import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { QuietWatch } from "../../src/threads/index.ts";

const large = 100_000_000;

test("memory is given back in the first quiet interval after a load, and once", () => {
  const watch = new QuietWatch();
  assert.equal(watch.isTime(0.9, large), false);
  assert.equal(watch.isTime(0.1, large), false, "not while it still works");
  assert.equal(watch.isTime(0.01, large), true);
  assert.equal(watch.isTime(0.01, large), false);
  assert.equal(watch.isTime(0.9, large), false);
  assert.equal(watch.isTime(0, large), true, "and after the next");
});

test("a thread that never worked, or whose heap is small, collects nothing", () => {
  const watch = new QuietWatch();
  assert.equal(watch.isTime(0, large), false);
  assert.equal(watch.isTime(0.1, large), false);
  assert.equal(watch.isTime(0.01, large), false);
  assert.equal(watch.isTime(0.9, large), false);
  assert.equal(watch.isTime(0, 1_000_000), false);
});

const program = fileURLToPath(new URL("./quiet-program.ts", import.meta.url));

for (const thread of ["main", "another"]) {
  test(`what the ${thread} thread does not use any more goes back to the system`, async () => {
    const { stdout } = await promisify(execFile)(process.execPath, [program, thread], { timeout: 30_000 });
    assert.equal(stdout, "given back; gc: undefined\n");
  });
}
