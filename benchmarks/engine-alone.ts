// The SQLite engine alone, in this process, against bare append+fdatasync of the same bytes, as many to a sync as one send holds.
//
//   node benchmarks/engine-alone.ts [--seconds 2] [--rounds 5]

import { join } from "node:path";
import { Histogram } from "../packages/millrace/src/cli/bench/histogram.ts";
import { appendToFile } from "../packages/millrace/src/cli/bench/raw-append.ts";
import { makeMessageId, minutes } from "../packages/millrace/src/core/index.ts";
import type { Holder, NewMessage, QueueId, StorageEngine } from "../packages/millrace/src/core/index.ts";
import { openSqliteEngine } from "../packages/millrace/src/engines/sqlite/index.ts";
import { systemClock as clock } from "../packages/millrace/src/system.ts";
import { appendInThread } from "./baselines/append-thread.ts";
import { runAlone } from "./harness/alone.ts";
import type { Benchmark, Case, Contender, Context, Measurement, OpenCase } from "./harness/benchmark.ts";

/** Bytes the engine stores beside a body. */
const headerBytes = 35;
const manyQueues = 1_000;
const quiet = { debug: () => {}, info: () => {}, warn: console.warn, error: console.error };
const bare = "bare append+fdatasync";
const bareThread = "append+fdatasync in a thread";

/** What a caller does again and again; answers how many messages that came to. */
type Step = (queue: QueueId) => Promise<number>;

export const engineAlone: Benchmark = {
  name: "engine-alone",
  title: "The engine alone",
  cases: ({ quick }) => [
    ...(quick ? [10] : [1, 10, 100]).map((group) => storing(group)),
    ...(quick ? [] : [10, 100].map((group) => cycling(group))),
  ],
};

function storing(group: number): Case {
  return {
    name: `storing, ${group} a send`,
    what:
      "Callers that store messages and wait until they are on disk: as many as there are connections, one alone, and as many " +
      `over ${manyQueues.toLocaleString("en")} queues. Beside them a file that gets the same bytes, synced after each send's worth, by ` +
      "the thread that made them, and by another that it waits for, as the engine's callers wait for the store's thread.",
    unit: "messages/s",
    ratios: [
      { of: "many callers", to: bare, target: 0.9 },
      { of: "one caller", to: bare },
      { of: "one caller", to: bareThread },
      { of: "many queues", to: "many callers", target: 0.5 },
    ],
    open: async (context) =>
      await open(context, group, (engine, make) => async (queue) => {
        await engine.send(queue, Array.from({ length: group }, make));
        return group;
      }),
  };
}

function cycling(group: number): Case {
  return {
    name: `send, lease and ack, ${group} at a time`,
    what: "The same callers, each leasing what it stored and acknowledging it. The file gets the messages alone.",
    unit: "messages/s",
    ratios: [
      { of: "many callers", to: bare },
      { of: "many queues", to: "many callers" },
    ],
    open: async (context) =>
      await open(context, group, (engine, make) => async (queue) => {
        await engine.send(queue, Array.from({ length: group }, make));
        const lease = { max: group, window: undefined, visibility: minutes(5), holder: "benchmark" as Holder };
        const { batch, messages } = await engine.lease(queue, lease);
        if (batch !== undefined) {
          await engine.settle(queue, { each: [], whole: [{ batch, decision: { kind: "ack" } }] });
        }
        return messages.length;
      }),
  };
}

async function open(
  { options, folder }: Context,
  group: number,
  work: (engine: StorageEngine, make: () => NewMessage) => Step,
): Promise<OpenCase> {
  const engine = await openSqliteEngine({ folder: join(folder, "engine"), clock, logger: quiet });
  const queues = Array.from({ length: manyQueues }, (_, index) => index.toString(16).padStart(32, "0") as QueueId);
  await engine.catalog.commit({
    expectedRevision: 0,
    operations: queues.map((queue) => ({ kind: "createQueue", queue })),
    audit: [],
  });
  const step = work(engine, messageMaker(options.bytes));
  const contender = (name: string, callers: number, among: readonly QueueId[]): Contender => ({
    name,
    run: async (seconds) => {
      const measured = await load(step, seconds, callers, among);
      await assertNothingLost(engine, among);
      return measured;
    },
  });
  const append = { folder, bytes: options.bytes + headerBytes, group };
  const rawFile: Contender = {
    name: bare,
    run: async (seconds) => {
      const { records, ms, latency } = appendToFile({ ...append, seconds });
      return { value: (records / ms) * 1_000, latency: Histogram.from(latency) };
    },
  };
  const rawThread: Contender = {
    name: bareThread,
    run: async (seconds) => {
      const { records, ms, latency } = await appendInThread({ ...append, seconds });
      return { value: (records / ms) * 1_000, latency: Histogram.from(latency) };
    },
  };
  return {
    contenders: [
      contender("many callers", options.connections, queues.slice(0, 1)),
      contender("one caller", 1, queues.slice(0, 1)),
      contender("many queues", options.connections, queues),
      rawFile,
      rawThread,
    ],
    [Symbol.asyncDispose]: async () => await engine[Symbol.asyncDispose](),
  };
}

async function load(step: Step, seconds: number, callers: number, queues: readonly QueueId[]): Promise<Measurement> {
  const latency = new Histogram();
  const startedAt = performance.now();
  let turn = 0;
  let done = 0;
  const caller = async (): Promise<void> => {
    for (let before = performance.now(); before - startedAt < seconds * 1_000;) {
      const queue = queues[turn % queues.length];
      if (queue === undefined) return;
      turn += 1;
      const count = await step(queue);
      done += count;
      const now = performance.now();
      latency.record(now - before);
      before = now;
    }
  };
  await Promise.all(Array.from({ length: callers }, caller));
  return { value: (done / (performance.now() - startedAt)) * 1_000, latency };
}

/** What was accepted and not acknowledged is stored, message by message; then the queues are emptied for the next turn. */
async function assertNothingLost(engine: StorageEngine, queues: readonly QueueId[]): Promise<void> {
  for (const queue of queues) {
    const { accounting, backlog } = await engine.metrics(queue);
    const { accepted, acked, purged } = accounting;
    const { purged: found } = await engine.purge(queue, undefined);
    if (accepted - acked - purged !== backlog.count || found !== backlog.count) {
      throw new Error(`queue ${queue}: ${accepted} accepted, ${acked} acknowledged, ${found} found`);
    }
  }
}

function messageMaker(bytes: number): () => NewMessage {
  const body = new Uint8Array(bytes).fill(120);
  const random = new Uint8Array(10);
  const number = new DataView(random.buffer);
  let count = 0;
  return () => {
    const sentAt = clock.now();
    number.setUint32(6, (count += 1));
    return { id: makeMessageId(sentAt, random), sentAt, contentType: "text", body, visibleAt: undefined };
  };
}

if (import.meta.main) await runAlone(engineAlone);
