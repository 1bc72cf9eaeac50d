// kill -9 between any two steps: what was answered is delivered.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { Server } from "../support/millrace.ts";
import { Tutorial } from "../support/tutorial.ts";

/** Process ids of the children of a process. */
function childrenOf(pid: number): number[] {
  const rows = execFileSync("ps", ["-A", "-o", "pid=,ppid=,comm="], { encoding: "utf8" }).trim().split("\n");
  const processes = rows.map((row) => {
    const [child = "", parent = "", ...name] = row.trim().split(/\s+/);
    return { pid: Number(child), parent: Number(parent), name: name.join(" ") };
  });
  const below = (parent: number): typeof processes =>
    processes.flatMap((each) => (each.parent === parent ? [each, ...below(each.pid)] : []));
  return below(pid)
    .filter(({ name }) => name.includes("workerd"))
    .map((each) => each.pid);
}

test("kill -9 of the server loses no send that was answered", async () => {
  await using tutorial = await Tutorial.start();
  const sent: string[] = [];
  for (let round = 0; round < 4; round += 1) {
    const sends = Array.from({ length: 25 }, (_, index) => `round ${round} message ${index}`).map(async (body) => {
      try {
        await tutorial.send(body);
        sent.push(body);
      } catch {
        // not answered: it may be lost
      }
    });
    // The kill comes when some sends of the round were answered and others were not.
    await Promise.race(sends);
    await tutorial.killAndRestart();
    await Promise.allSettled(sends);
  }
  assert.ok(sent.length >= 4);
  await tutorial.recorder.batches.until("every answered send was delivered", () => {
    const got = new Set(tutorial.recorder.messages.map(({ body }) => body));
    return sent.every((body) => got.has(body)) ? true : undefined;
  });
});

test("kill -9 of the server with a batch in flight redelivers it", async () => {
  await using tutorial = await Tutorial.start();
  tutorial.recorder.instruct = () => ({ do: "hang" });
  await tutorial.sendBatch(Array.from({ length: 10 }, (_, index) => index));
  await tutorial.recorder.batches.until("the batch is in flight", (all) => all[0]);
  tutorial.recorder.instruct = () => ({ do: "ok" });
  await tutorial.killAndRestart();
  const again = await tutorial.recorder.batches.until("the batch again", (all) => all[1]);
  assert.deepEqual(
    again.messages.map(({ id }) => id).toSorted(),
    tutorial.recorder.batches.all[0]?.messages.map(({ id }) => id).toSorted(),
  );
});

test("kill -9 of workerd with a batch in flight redelivers it, as the next attempt", async () => {
  await using tutorial = await Tutorial.start();
  tutorial.recorder.instruct = () => ({ do: "hang" });
  await tutorial.sendBatch(Array.from({ length: 10 }, (_, index) => index));
  await tutorial.recorder.batches.until("the batch is in flight", (all) => all[0]);
  tutorial.recorder.instruct = () => ({ do: "ok" });
  const workers = childrenOf(tutorial.server.ready.pid);
  assert.ok(workers.length > 0);
  for (const pid of workers) process.kill(pid, "SIGKILL");
  const again = await tutorial.recorder.batches.until("the batch again", (all) => all[1]);
  assert.deepEqual(
    again.messages.map(({ attempts }) => attempts),
    Array.from({ length: 10 }, () => 2),
  );
});

test("a stopped server finishes or returns what it was delivering, and costs no attempt", async () => {
  await using tutorial = await Tutorial.start();
  await tutorial.sendBatch(Array.from({ length: 10 }, (_, index) => index));
  await tutorial.recorder.batches.until("the batch", (all) => all[0]);
  await tutorial.sendBatch(["kept"]);
  const { ports, data } = tutorial.server;
  assert.equal(await tutorial.server.stop(), 0);
  tutorial.server = await Server.start(data, ports);
  await tutorial.recorder.batches.until("the kept one", () =>
    tutorial.recorder.messages.find(({ body }) => body === "kept"),
  );
  assert.ok(tutorial.recorder.messages.every(({ attempts }) => attempts === 1));
});
