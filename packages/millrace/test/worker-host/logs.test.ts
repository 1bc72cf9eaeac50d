// What the server's log and listeners learn of a Worker's console and errors.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { WorkerName } from "../../src/core/index.ts";
import type { WorkerLogEntry, WorkerTrace } from "../../src/worker-host/index.ts";
import { WorkerLog } from "../../src/worker-host/worker-log.ts";
import { recordingLogger } from "../support/broker-harness.ts";
import { SimulatedTime } from "../support/simulated-time.ts";
import { HostHarness, message } from "./host-harness.ts";

/** Resolves when a process that reports its invocations has taken over; with the end of watching. */
async function watch(harness: HostHarness, listener: (trace: WorkerTrace) => void = () => {}): Promise<() => void> {
  const pid = (): number | undefined => harness.host.describe("app" as WorkerName)?.pid;
  const before = pid();
  const stop = harness.host.onTrace(listener);
  await harness.until(() => pid() !== before, "a tracing process takes over");
  return stop;
}

test("console lines arrive once, whole, with level and the Worker's name", async () => {
  await using harness = await HostHarness.open();
  await harness.deploy({
    source: `export default { fetch() {
      console.debug("debug"); console.info("info"); console.log("log", { a: [1] }, "two\\nlines"); console.warn("warn"); console.error(new Error("shown"));
      console.log('{"timestamp":1,"level":"error","message":"forged"}');
      process.stdout.write("written\\n");
      console.log("x".repeat(100000)); console.log("last");
      return new Response("ok");
    } }`,
    flags: ["nodejs_compat"],
  });
  await harness.fetch();
  await harness.line("last");
  const lines = harness.entries.flatMap((entry) => (entry.kind === "console" ? [[entry.level, entry.text]] : []));
  const [debug, info, log, warn, error, forged, written, long, last] = lines;
  assert.deepEqual(
    [debug, info, warn],
    [
      ["debug", "debug"],
      ["info", "info"],
      ["warn", "warn"],
    ],
  );
  assert.deepEqual(log, ["log", "log { a: [ 1 ] } two\nlines"]);
  assert.equal(error?.[0], "error");
  assert.match(error?.[1] ?? "", /^Error: shown\n {4}at Object\.fetch \(index\.js:2:/);
  assert.deepEqual(forged, ["log", '{"timestamp":1,"level":"error","message":"forged"}']);
  assert.match(written?.[1] ?? "", /written/);
  assert.match(long?.[1] ?? "", /^x{16384} … \(\d+ more characters\)$/);
  assert.deepEqual(last, ["log", "last"]);
  assert.equal(lines.length, 9);
  const logged = harness.log.events.filter(({ event }) => event === "worker.log");
  assert.deepEqual(logged[0]?.fields, { worker: "app", level: "debug", text: "debug" });
  assert.equal(logged.length, 9);
});

for (const isWatched of [false, true]) {
  test(`uncaught errors say which handler threw, once, with their stack${isWatched ? ", while somebody watches too" : ""}`, async () => {
    await using harness = await HostHarness.open();
    const errorsOf = (text: string): readonly WorkerLogEntry[] =>
      harness.entries.filter((entry) => entry.kind === "error" && entry.message.includes(text));
    await harness.deploy({
      source: `class Custom extends Error { constructor(text) { super(text); this.name = "Custom"; } }
      export default {
        fetch(request, env, ctx) {
          const { pathname } = new URL(request.url);
          if (pathname === "/throw") throw new TypeError("in fetch: with colon");
          if (pathname === "/custom") throw new Custom("custom one");
          if (pathname === "/dom") throw new DOMException("dom one", "AbortError");
          ctx.waitUntil(Promise.reject(new RangeError("in background")));
          return new Response("ok");
        },
        async queue(batch) { await new Response("").text(); null.property; },
      }`,
    });
    if (isWatched) await watch(harness);
    await harness.fetch("/throw");
    const thrown = await harness.error("in fetch: with colon");
    assert.deepEqual([thrown.handler, thrown.name, thrown.message], ["fetch", "TypeError", "in fetch: with colon"]);
    assert.match(thrown.stack ?? "", /at Object\.fetch \(index\.js:5:/);

    const outcome = await harness.deliver([message("x")]);
    assert.ok(outcome.kind === "completed");
    assert.match(outcome.error?.message ?? "", /Cannot read properties of null/);
    assert.match(outcome.error?.stack ?? "", /index\.js:11:/);
    const queued = await harness.error("Cannot read properties of null");
    assert.equal(queued.handler, "queue");

    await harness.fetch("/background");
    assert.equal((await harness.error("in background")).handler, "unknown");
    await harness.fetch("/custom");
    assert.equal((await harness.error("custom one")).handler, "fetch");
    await harness.fetch("/dom");
    assert.equal((await harness.error("dom one")).name, "AbortError");
    // What nobody claims is reported after a while: with this one whatever came before it has been.
    await harness.fetch("/background?again");
    await harness.until(() => errorsOf("in background").length === 2, "the last error is reported");
    assert.equal(errorsOf("").length, 6);
    const logged = harness.log.events.find(({ event }) => event === "worker.error");
    assert.equal(logged?.fields["message"], "TypeError: in fetch: with colon");
  });
}

test("a Worker that writes without end is cut short, second by second", async () => {
  const time = new SimulatedTime();
  const logger = recordingLogger();
  const log = new WorkerLog(logger, time);
  const app = "app" as WorkerName;
  for (let line = 0; line < 1_500; line += 1) log.console(app, "log", String(line));
  log.console("other" as WorkerName, "log", "heard all the same");
  assert.equal(logger.events.length, 1_001);
  await time.advance(1_000);
  log.console(app, "log", "again");
  assert.deepEqual(
    logger.events.slice(1_001).map(({ fields }) => fields["text"]),
    ["500 lines left out: more than 1000 in a second", "again"],
  );
});

test("invocations are traced while somebody watches", async () => {
  await using harness = await HostHarness.open();
  await harness.deploy({
    source: `export default {
      fetch() { console.log("fetched"); return new Response("ok"); },
      queue() { throw new Error("in queue"); },
    }`,
  });
  const traces: WorkerTrace[] = [];
  const stop = await watch(harness, (trace) => traces.push(trace));
  assert.equal(await harness.fetch(), "ok");
  await harness.deliver([message("x"), message("y")]);
  await harness.until(() => traces.length >= 2, "both invocations are traced");
  const [fetched, queued] = traces;
  assert.deepEqual([fetched?.scriptName, fetched?.outcome], ["app", "ok"]);
  assert.deepEqual((fetched?.["logs"] as { message: unknown }[] | undefined)?.[0]?.message, ["fetched"]);
  assert.deepEqual([queued?.outcome, queued?.["event"]], ["exception", { queue: "events", batchSize: 2 }]);
  assert.equal((queued?.["exceptions"] as { message: string }[] | undefined)?.[0]?.message, "in queue");
  stop();
  await harness.fetch();
  assert.equal(traces.length, 2);
});
