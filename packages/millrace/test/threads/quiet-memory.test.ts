import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { QuietWatch } from "../../src/threads/index.ts";

const large = 100_000_000;

/** A watched thread, of which each look says how much of the interval before it was worked. */
class WatchedThread {
  readonly #spent = { idle: 0, active: 0 };
  readonly #watch = new QuietWatch({ ...this.#spent });

  isTime(share: number, bytes: number): boolean {
    this.#spent.active += share * 5_000;
    this.#spent.idle += (1 - share) * 5_000;
    return this.#watch.isTime({ ...this.#spent }, bytes);
  }

  collect(ms: number): void {
    this.#spent.active += ms;
    this.#watch.collected({ ...this.#spent });
  }
}

test("memory is given back in the first quiet interval after a load, and once", () => {
  const thread = new WatchedThread();
  assert.equal(thread.isTime(0.9, large), false);
  assert.equal(thread.isTime(0.1, large), false, "not while it still works");
  assert.equal(thread.isTime(0.01, large), true);
  assert.equal(thread.isTime(0.01, large), false);
  assert.equal(thread.isTime(0.9, large), false);
  assert.equal(thread.isTime(0, large), true, "and after the next");
});

test("a thread that never worked, or whose heap is small, collects nothing", () => {
  const thread = new WatchedThread();
  assert.equal(thread.isTime(0, large), false);
  assert.equal(thread.isTime(0.1, large), false);
  assert.equal(thread.isTime(0.01, large), false);
  assert.equal(thread.isTime(0.9, large), false);
  assert.equal(thread.isTime(0, 1_000_000), false);
});

test("a collection that takes long is no load to collect after", () => {
  const thread = new WatchedThread();
  assert.equal(thread.isTime(0.9, large), false);
  assert.equal(thread.isTime(0, large), true);
  thread.collect(4_000);
  assert.equal(thread.isTime(0, large), false);
  assert.equal(thread.isTime(0, large), false, "nor is it later");
});

const program = fileURLToPath(new URL("./quiet-program.ts", import.meta.url));

/** Milliseconds; V8 by itself collects in this program after 16 s. */
const timeout = 10_000;

for (const thread of ["main", "another"]) {
  test(`what the ${thread} thread does not use any more goes back to the system`, async () => {
    const { stdout } = await promisify(execFile)(process.execPath, [program, thread], { timeout });
    assert.equal(stdout, "given back; gc: undefined\n");
  });
}
