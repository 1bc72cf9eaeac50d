// The benchmarks in a tiny form: that they run, that each contender takes part, and that every message is delivered exactly once.
// How fast anything is, no test says.
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { delivery } from "./delivery.ts";
import type { Benchmark, RunOptions } from "./harness/benchmark.ts";
import { readMachine } from "./harness/machine.ts";
import { runBenchmark } from "./harness/run.ts";
import { latency } from "./latency.ts";
import { otherQueues } from "./peers.ts";
import { pull } from "./pull.ts";
import { restPush } from "./rest-push.ts";
import { workerSend } from "./worker-send.ts";

const tiny: RunOptions = {
  quick: true,
  rounds: 1,
  seconds: 0.02,
  duration: 0.1,
  connections: 4,
  bytes: 64,
  backlog: 0,
  queues: 1,
  peers: [],
  profile: undefined,
};

let folder = "";
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "millrace-bench-test-"));
});
after(async () => {
  await rm(folder, { recursive: true, force: true, maxRetries: 3 });
});

/** Runs the first case alone; it throws when messages are missing or come twice. */
async function run(benchmark: Benchmark, options: RunOptions = tiny): ReturnType<typeof runBenchmark> {
  const first: Benchmark = { ...benchmark, cases: (given) => benchmark.cases(given).slice(0, 1) };
  const machine = await readMachine(folder);
  return await runBenchmark(first, { options, machine, folder, tell: () => undefined });
}

const expected: readonly { readonly benchmark: Benchmark; readonly contenders: readonly string[] }[] = [
  { benchmark: restPush, contenders: ["Millrace", "bare HTTP echo", "bare append+fdatasync"] },
  { benchmark: delivery, contenders: ["Millrace", "dispatcher fed from memory"] },
  { benchmark: pull, contenders: ["Millrace", "bare HTTP server"] },
  {
    benchmark: latency,
    contenders: ["Millrace", "Millrace, sent over REST", "without a queue", "bare sync of a page"],
  },
];

for (const { benchmark, contenders } of expected) {
  test(`${benchmark.name}: every contender does its work`, async () => {
    const { cases } = await run(benchmark);
    const [first] = cases;
    assert.deepEqual(
      first?.figures.map(({ name }) => name),
      contenders,
    );
    for (const { name, median } of first?.figures ?? []) assert.ok(median > 0, `${name}: ${median}`);
    assert.ok((first?.figures[0]?.delivered ?? 0) > 0, "nothing was delivered");
    assert.ok(first?.ratios.every(({ median }) => median > 0));
  });
}

test("peers: Millrace takes part through its client and embedded", async () => {
  const { cases } = await run(otherQueues, { ...tiny, peers: ["millrace"] });
  assert.equal(cases[0]?.figures.length, 2);
  assert.ok(cases[0]?.figures.every(({ median, delivered = 0 }) => median > 0 && delivered > 0));
});

test("worker-send: a backlog and many queues take turns with the rest", async () => {
  const { cases } = await run(workerSend, { ...tiny, backlog: 200, queues: 3 });
  const names = cases[0]?.figures.map(({ name }) => name) ?? [];
  for (const name of ["Millrace with a backlog", "Millrace over many queues", "Millrace, shared port", "no send"]) {
    assert.ok(names.includes(name), `${name} took no part: ${names.join(", ")}`);
  }
});
