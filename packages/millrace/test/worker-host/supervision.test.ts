// Processes that die, hang, are replaced or outlive their server.

import assert from "node:assert/strict";
import { test } from "node:test";
import { setInterval } from "node:timers/promises";
import type { WorkerName } from "../../src/core/index.ts";
import { HostHarness, message } from "./host-harness.ts";

const app = "app" as WorkerName;

/** A handler that says it began and then does what the queue's name says. */
const handler = `
export default {
  fetch() { return new Response("up"); },
  async queue(batch) {
    console.log("began " + batch.queue);
    if (batch.queue === "loop") for (;;);
    if (batch.queue === "crunch") { for (let i = 0; i < 6e8; i++) Math.sqrt(i); }
    if (batch.queue === "slow") await new Promise((done) => setTimeout(done, 1000000));
    if (batch.queue === "wait") { while (!globalThis.released) await new Promise((done) => setTimeout(done, 5)); }
    if (batch.queue === "release") globalThis.released = true;
    console.log("ended " + batch.queue);
  },
};`;

const isRunning = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

function pidOf(harness: HostHarness): number {
  const pid = harness.host.describe(app)?.pid;
  assert.ok(pid !== undefined, "the Worker has a process");
  return pid;
}

test("a wedged process is ended and started again; its batch died, its console was seen", async () => {
  await using harness = await HostHarness.open({ pingIntervalMs: 20, unresponsiveMs: 300 });
  await harness.deploy({ source: handler });
  const before = pidOf(harness);
  const delivery = harness.deliver([message("x")], { queue: "loop" });
  await harness.line("began loop");
  const outcome = await delivery;
  assert.deepEqual(outcome, {
    kind: "died",
    detail: "the Worker kept its event loop busy for 0.3 seconds, so its process was ended",
  });
  await harness.until(() => harness.host.isReady(app), "the Worker is back");
  assert.notEqual(pidOf(harness), before);
  assert.equal(isRunning(before), false);
  assert.equal(harness.host.describe(app)?.restarts, 1);
  assert.ok(harness.log.events.some(({ event, fields }) => event === "worker.wedged" && fields["worker"] === "app"));
});

test("a handler that hangs before it says a word had its batch", async () => {
  await using harness = await HostHarness.open({ pingIntervalMs: 20, unresponsiveMs: 300 });
  await harness.deploy({ source: "export default { queue() { for (;;); } }" });
  assert.equal((await harness.deliver([message("x")])).kind, "died");
  assert.deepEqual(harness.console(), [], "the receipt is no word of the Worker's");
});

test("a receipt is found behind whatever the Worker has written, and is not in its console", async () => {
  await using harness = await HostHarness.open({ pingIntervalMs: 20, unresponsiveMs: 300 });
  await harness.deploy({
    flags: ["nodejs_compat"],
    source: `
TextDecoder.prototype.decode = Response.json = () => { throw new Error("the dispatcher has its own"); };
export default { queue(batch) {
  if (batch.queue === "loop") for (;;);
  console.log("x".repeat(70_000));
  process.stdout.write("y".repeat(70_000));
} };`,
  });
  const written = await harness.deliver([message("x")], { queue: "write" });
  assert.equal(written.kind === "completed" && written.result.outcome, "ok");
  await harness.line("yyy");
  assert.equal((await harness.deliver([message("x")], { queue: "loop" })).kind, "died");
  assert.deepEqual(
    harness.console().map((text) => text.slice(0, 9)),
    ["xxxxxxxxx", "stdout: y"],
  );
});

test("a slow handler that waits is left alone", async () => {
  await using harness = await HostHarness.open({ pingIntervalMs: 5, unresponsiveMs: 5_000 });
  await harness.deploy({ source: handler });
  const delivery = harness.deliver([message("x")], { queue: "wait" });
  await harness.line("began wait");
  await harness.deliver([message("x")], { queue: "release" });
  assert.equal((await delivery).kind, "completed");
  assert.equal(harness.host.describe(app)?.restarts, 0);
});

test("limits.cpu_ms gives a Worker more time before it counts as wedged", async () => {
  await using harness = await HostHarness.open({ pingIntervalMs: 5, unresponsiveMs: 100 });
  await harness.deploy({ source: handler, kept: { limits: { cpu_ms: 300_000 } } });
  assert.equal((await harness.deliver([message("x")], { queue: "crunch" })).kind, "completed");
});

test("a killed process costs its batch a failed delivery, and is back for the next one", async () => {
  await using harness = await HostHarness.open();
  await harness.deploy({ source: handler });
  const delivery = harness.deliver([message("x")], { queue: "slow" });
  await harness.line("began slow");
  process.kill(pidOf(harness), "SIGKILL");
  assert.deepEqual(await delivery, {
    kind: "died",
    detail: "its process was ended by SIGKILL while the handler had the batch",
  });
  assert.equal(harness.host.isReady(app), false);
  const meanwhile = await harness.deliver([message("x")]);
  assert.equal(meanwhile.kind, "notDelivered", "without a process a batch never reaches a handler");
  await harness.until(() => harness.host.isReady(app), "the Worker is back");
  assert.equal((await harness.deliver([message("x")])).kind, "completed");
});

test("a process that works is started again at once, however often it is killed", { timeout: 60_000 }, async () => {
  await using harness = await HostHarness.open({ firstBackoffMs: 3_600_000, longestBackoffMs: 3_600_000 });
  await harness.deploy({ source: handler });
  for (let deaths = 1; deaths <= 4; deaths += 1) {
    assert.equal((await harness.deliver([message("x")])).kind, "completed");
    process.kill(pidOf(harness), "SIGKILL");
    await harness.until(() => !harness.host.isReady(app), "its end is noticed");
    await harness.until(() => harness.host.isReady(app), "the Worker is back");
    assert.equal(harness.host.describe(app)?.restarts, deaths);
  }
});

test("a batch that kills its process three times in a row waits for no restart", async () => {
  await using harness = await HostHarness.open({ firstBackoffMs: 3_600_000, longestBackoffMs: 3_600_000 });
  await harness.deploy({ source: handler });
  for (let deaths = 1; deaths <= 3; deaths += 1) {
    const delivery = harness.deliver([message("x")], { queue: "slow" });
    await harness.until(() => harness.console().length === deaths, "the handler has it");
    process.kill(pidOf(harness), "SIGKILL");
    assert.equal((await delivery).kind, "died");
    await harness.until(() => harness.host.isReady(app), "the Worker is back");
  }
});

test("a batch that a frozen process never took was not delivered", async () => {
  await using harness = await HostHarness.open({ pingIntervalMs: 20, unresponsiveMs: 300 });
  await harness.deploy({ source: handler });
  process.kill(pidOf(harness), "SIGSTOP");
  const outcome = await harness.deliver([message("x")]);
  assert.equal(outcome.kind, "notDelivered");
});

test("a handler that runs too long is aborted", async () => {
  await using harness = await HostHarness.open({ wallTimeMs: 300 });
  await harness.deploy({ source: handler });
  const pid = pidOf(harness);
  assert.deepEqual(await harness.deliver([message("x")], { queue: "slow" }), {
    kind: "timedOut",
    detail: "the handler ran longer than 0.3 seconds",
  });
  // It was cancelled, not left running: nothing it waited for happens any more.
  const next = harness.deliver([message("x")], { queue: "wait" });
  assert.equal((await next).kind, "timedOut");
  assert.equal(harness.console().includes("ended wait"), false);
  assert.equal(pidOf(harness), pid, "the process lives on");
});

test("a handler that does not give way when aborted takes its process with it", async () => {
  await using harness = await HostHarness.open({ wallTimeMs: 200, abortGraceMs: 200 });
  await harness.deploy({ source: handler });
  const before = pidOf(harness);
  const outcome = await harness.deliver([message("x")], { queue: "loop" });
  assert.equal(outcome.kind, "timedOut");
  await harness.until(() => !isRunning(before) && harness.host.isReady(app), "another process is there");
});

test("an aborted delivery is cancelled", async () => {
  await using harness = await HostHarness.open();
  await harness.deploy({ source: handler });
  const stop = new AbortController();
  const delivery = harness.deliver([message("x")], { queue: "slow", signal: stop.signal });
  await harness.line("began slow");
  stop.abort();
  assert.deepEqual(await delivery, { kind: "cancelled" });
});

test("a Worker that is not deployed takes nothing", async () => {
  await using harness = await HostHarness.open();
  const outcome = await harness.deliver([message("x")], { worker: "nobody" });
  assert.deepEqual(outcome, { kind: "notDelivered", detail: "Worker nobody is not deployed" });
  assert.equal(harness.host.isReady("nobody" as WorkerName), false);
  assert.equal(harness.host.describe("nobody" as WorkerName), undefined);
});

test("a deploy takes over at once; a batch in flight finishes on the old version, which then ends", async () => {
  await using harness = await HostHarness.open();
  await harness.deploy({ source: handler });
  const old = pidOf(harness);
  const delivery = harness.deliver([message("x")], { queue: "wait" });
  await harness.line("began wait");
  await harness.deploy({
    source: `export default { fetch() { return new Response("two"); }, queue() { console.log("second"); } }`,
  });
  assert.equal(await harness.fetch(), "two");
  assert.equal((await harness.deliver([message("y")])).kind, "completed");
  await harness.line("second");
  assert.equal(isRunning(old), true, "it still has a batch");

  // The old process alone knows the way out of its loop: its batch ends by being given up.
  process.kill(old, "SIGKILL");
  assert.equal((await delivery).kind, "died");
  assert.equal(harness.host.describe(app)?.restarts, 0, "the end of a retired process is nobody's crash");
});

test("an old version ends by itself once its last batch is done", async () => {
  await using harness = await HostHarness.open();
  const source = (reply: string): string =>
    `export default { queue() { console.log("began"); return scheduler.wait(150).then(() => console.log("${reply} done")); } }`;
  await harness.deploy({ source: source("one") });
  const old = pidOf(harness);
  const delivery = harness.deliver([message("x")]);
  await harness.line("began");
  await harness.deploy({ source: source("two") });
  const outcome = await delivery;
  assert.equal(outcome.kind === "completed" && outcome.result.outcome, "ok");
  assert.deepEqual(harness.console(), ["began", "one done"]);
  await harness.until(() => !isRunning(old), "the old process ends");
});

test("a request that an old version has begun to answer is answered to its end", async () => {
  await using harness = await HostHarness.open();
  await harness.deploy({
    source: `export default { async fetch() { console.log("began"); await new Promise((done) => setTimeout(done, 200)); return new Response("old"); } }`,
  });
  const old = pidOf(harness);
  const answer = harness.fetch("/");
  await harness.line("began");
  assert.equal(harness.host.describe(app)?.inFlight, 1);
  await harness.deploy({ source: `export default { fetch() { return new Response("new"); } }` });
  assert.equal(await harness.fetch("/"), "new");
  assert.equal(await answer, "old");
  await harness.until(() => !isRunning(old), "the old process ends");
});

test("a version that was tried and not deployed does not stay", async () => {
  await using harness = await HostHarness.open({ preparedForMs: 50 });
  await harness.prepare({ source: handler });
  // Folders tell nobody when they go: they are looked at again and again.
  const looks = setInterval(10, undefined, { signal: AbortSignal.timeout(20_000) })[Symbol.asyncIterator]();
  while ((await harness.processFolders()).length > 0) await looks.next();
  await looks.return?.();
});

test("a deleted Worker stops", async () => {
  await using harness = await HostHarness.open();
  await harness.deploy({ source: handler });
  const pid = pidOf(harness);
  await harness.remove("app");
  assert.equal(harness.host.isReady(app), false);
  await harness.until(() => !isRunning(pid), "its process ends");
});

test("a deployed Worker that does not start is tried again without holding up others, and the old version stays", async () => {
  await using harness = await HostHarness.open({ firstBackoffMs: 10, longestBackoffMs: 20 });
  const broken = (await harness.version({ name: "broken", source: "throw new Error('not today')" })).version;
  await harness.store(broken);
  await harness.deploy({ source: handler });
  assert.equal((await harness.deliver([message("x")])).kind, "completed");
  const failures = (): number => harness.log.events.filter(({ event }) => event === "worker.startFailed").length;
  await harness.until(() => failures() >= 3, "three starts were tried");
  const description = harness.host.describe("broken" as WorkerName);
  assert.equal(description?.state, "crashed");
  assert.match(description.lastError ?? "", /not today/);

  const pid = pidOf(harness);
  await harness.store((await harness.version({ source: "throw new Error('worse')" })).version);
  const seen = failures();
  await harness.until(() => failures() > seen, "the worse version was tried");
  assert.equal(pidOf(harness), pid);
  assert.equal((await harness.deliver([message("x")])).kind, "completed");
});

test("deployed Workers start with the host, and end with it", async () => {
  const pids: number[] = [];
  {
    await using harness = await HostHarness.open();
    for (const name of ["one", "two", "three"]) {
      await harness.deploy({ name, source: `export default { fetch() { return new Response("${name}"); } }` });
      pids.push(harness.host.describe(name as WorkerName)?.pid ?? 0);
    }
    await harness.prepare({ source: handler });
    await using second = await HostHarness.over(harness);
    await second.until(
      () => ["one", "two", "three"].every((name) => second.host.isReady(name as WorkerName)),
      "all are started by another host",
    );
  }
  for (const pid of pids) assert.equal(isRunning(pid), false);
});

test("a stop waits for nothing forever", async () => {
  const harness = await HostHarness.open({ stopGraceMs: 100 });
  await harness.deploy({ source: handler });
  const pid = pidOf(harness);
  const delivery = harness.deliver([message("x")], { queue: "loop" });
  await harness.line("began loop");
  await harness[Symbol.asyncDispose]();
  assert.equal(isRunning(pid), false);
  assert.equal((await delivery).kind, "died");
});
