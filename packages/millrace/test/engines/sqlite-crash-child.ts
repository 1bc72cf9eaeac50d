// Works on an engine until it is killed, and reports every answer it got. See sqlite-crash.test.ts.

import { writeSync } from "node:fs";
import process from "node:process";
import { epochMs, makeMessageId, minutes } from "../../src/core/index.ts";
import type { Decision, Holder, MessageId, NewMessage, QueueId } from "../../src/core/index.ts";
import { openSqliteEngine } from "../../src/engines/sqlite/index.ts";
import type { CrashReport } from "./sqlite-crash.test.ts";
import { silent } from "./sqlite-harness.ts";

const [folder = "", round = "", tuning = "{}"] = process.argv.slice(2);
const queues = [1, 2, 3].map((number) => number.toString(16).padStart(32, "0") as QueueId);
const engine = await openSqliteEngine({
  folder,
  clock: { now: () => epochMs(Date.now()) },
  logger: silent,
  tuning: JSON.parse(tuning) as object,
});
const holder = `server:${round}` as Holder;
const { revision } = await engine.catalog.load();
if (revision === 0) {
  await engine.catalog.commit({
    expectedRevision: 0,
    operations: queues.map((queue) => ({ kind: "createQueue", queue })),
    audit: [],
  });
}

/** Written before anything else happens. A pipe whose reader is slow takes nothing for a while, or a part. */
function report(line: CrashReport): void {
  let rest = Buffer.from(`${JSON.stringify(line)}\n`);
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(1, rest));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
    }
  }
}

let sent = 0;
let steps = 0;
function newMessage(): NewMessage {
  sent += 1;
  const unique = new Uint8Array(10);
  const view = new DataView(unique.buffer);
  view.setUint32(2, Number(round));
  view.setUint32(6, sent);
  const sentAt = epochMs(Date.now());
  return {
    id: makeMessageId(sentAt, unique),
    sentAt,
    contentType: "bytes",
    body: new Uint8Array(Math.floor(Math.random() ** 8 * 60_000)).fill(sent),
    visibleAt: Math.random() < 0.1 ? epochMs(sentAt + 50) : undefined,
  };
}

function random<T>(items: readonly T[]): T {
  return items[Math.floor(Math.random() * items.length)] as T;
}

async function produce(): Promise<never> {
  for (;;) {
    const queue = random(queues);
    const messages = Array.from({ length: 1 + Math.floor(Math.random() * 8) }, newMessage);
    await engine.send(queue, messages);
    report({ kind: "sent", queue, ids: messages.map(({ id }) => id) });
  }
}

async function consume(): Promise<never> {
  for (;;) {
    const queue = random(queues);
    const to = random(queues.filter((each) => each !== queue));
    const { batch, messages } = await engine.lease(queue, {
      max: 5,
      window: undefined,
      visibility: minutes(1),
      holder,
    });
    if (batch === undefined) {
      await engine.metrics(queue);
      continue;
    }
    const ids = messages.map(({ id }) => id);
    const step = (steps += 1);
    report({ kind: "settling", step, ids });
    const choice = Math.random();
    if (choice < 0.5) {
      await engine.settle(queue, { each: [], whole: [{ batch, decision: { kind: "ack" } }] });
      report({ kind: "acked", ids });
    } else if (choice < 0.7) {
      await engine.settle(queue, { each: [], whole: [{ batch, decision: { kind: "deadLetter", queue: to } }] });
      report({ kind: "moved", step, ids, to });
    } else {
      const acked: MessageId[] = [];
      const each = messages.map(({ lease, id }) => {
        const decision: Decision = Math.random() < 0.5 ? { kind: "ack" } : { kind: "retry", visibleAt: undefined };
        if (decision.kind === "ack") acked.push(id);
        return { lease, decision };
      });
      await engine.settle(queue, { each, whole: [] });
      report({ kind: "acked", ids: acked });
      report({ kind: "moved", step, ids: ids.filter((id) => !acked.includes(id)), to: queue });
    }
  }
}

await Promise.all([produce(), produce(), produce(), consume(), consume()]);
