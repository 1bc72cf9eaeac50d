// How long a server takes to be ready, and how much memory it takes, with nothing stored and with a large backlog.
//
//   node benchmarks/start-with-backlog.ts [--queues 100] [--messages 1000000] [--bytes 200] [--rounds 5]
//
// Rounds alternate between the two data folders, so that what else the machine does falls on both. Prints medians with ranges.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { availableParallelism, tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { ControlPlane, createQueue, Intake } from "../packages/millrace/src/broker/index.ts";
import { defaultQueueSettings, parseQueueName } from "../packages/millrace/src/contract/index.ts";
import { openSqliteEngine } from "../packages/millrace/src/engines/sqlite/index.ts";
import { systemClock as clock, systemRandom as random } from "../packages/millrace/src/system.ts";

const { values } = parseArgs({
  options: {
    queues: { type: "string", default: "100" },
    messages: { type: "string", default: "1000000" },
    bytes: { type: "string", default: "200" },
    rounds: { type: "string", default: "5" },
  },
});
const queues = Number(values.queues);
const messages = Number(values.messages);
const bytes = Number(values.bytes);
const rounds = Number(values.rounds);
const bin = fileURLToPath(new URL("../packages/millrace/bin/millrace.js", import.meta.url));
const quiet = { debug() {}, info() {}, warn: console.error, error: console.error };

interface Start {
  readonly readyMs: number;
  readonly readyRssMb: number;
  readonly workedRssMb: number;
}

const root = await mkdtemp(join(tmpdir(), "millrace-bench-"));
try {
  const empty = join(root, "empty");
  const full = join(root, "full");
  await fill(empty, 0);
  const began = performance.now();
  await fill(full, messages);
  console.error(
    `stored ${messages} messages of ${bytes} bytes in ${queues} queues in ${Math.round(performance.now() - began)} ms`,
  );
  const starts: Record<"empty" | "full", Start[]> = { empty: [], full: [] };
  for (let round = 0; round < rounds; round += 1) {
    starts.empty.push(await start(empty));
    starts.full.push(await start(full));
    console.error(`round ${round + 1} of ${rounds}`);
  }
  const row = (kind: "empty" | "full", field: keyof Start): string => {
    const sorted = starts[kind].map((each) => each[field]).toSorted((a, b) => a - b);
    const median = sorted[Math.floor(sorted.length / 2)] ?? 0;
    return `${median.toFixed(0)} (${sorted[0]?.toFixed(0)}–${sorted.at(-1)?.toFixed(0)})`;
  };
  console.log(
    `Node ${process.version}, ${availableParallelism()} cores, ${Math.round(totalmem() / 2 ** 30)} GiB, ${rounds} rounds, medians (range)\n`,
  );
  console.log(`| | nothing stored | ${messages.toLocaleString("en")} messages in ${queues} queues |`);
  console.log("|---|---|---|");
  console.log(`| process start to ready, ms | ${row("empty", "readyMs")} | ${row("full", "readyMs")} |`);
  console.log(`| memory when ready, MB | ${row("empty", "readyRssMb")} | ${row("full", "readyRssMb")} |`);
  console.log(
    `| memory after a listing, a peek and a send in every queue, MB | ${row("empty", "workedRssMb")} | ${row("full", "workedRssMb")} |`,
  );
} finally {
  await rm(root, { recursive: true, force: true });
}

/** Stores the messages through the engine itself, spread over the queues. */
async function fill(folder: string, count: number): Promise<void> {
  await using engine = await openSqliteEngine({ folder, clock, logger: quiet });
  using controlPlane = await ControlPlane.open(engine.catalog, clock, random);
  const intake = new Intake({ engine, clock, random, catalog: () => controlPlane.view });
  const ids = [];
  for (let index = 0; index < queues; index += 1) {
    const command = { name: parseQueueName(`queue-${index}`), settings: defaultQueueSettings, jurisdiction: null };
    const record = await controlPlane.change("benchmark", (view, context) => createQueue(view, context, command));
    ids.push(record.id);
  }
  const item = { contentType: "text", body: new Uint8Array(bytes).fill(120), delaySeconds: undefined };
  const perRound = 100 * ids.length;
  for (let stored = 0; stored < count; stored += perRound) {
    const left = Math.ceil(Math.min(perRound, count - stored) / ids.length);
    await Promise.all(
      ids.map(
        async (id) =>
          await intake.send(
            id,
            Array.from({ length: left }, () => item),
          ),
      ),
    );
  }
}

async function start(folder: string): Promise<Start> {
  const began = performance.now();
  const child = spawn(
    process.execPath,
    [bin, "serve", "--data", folder, "--port", "0", "--worker-port", "0", "--log-format", "json"],
    {
      env: { ...process.env, MILLRACE_API_TOKEN: "benchmark" },
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  const ready = Promise.withResolvers<{ readonly api: string; readonly account_id: string }>();
  createInterface({ input: child.stdout }).on("line", (line) => {
    const event = JSON.parse(line) as { readonly event: string; readonly api: string; readonly account_id: string };
    if (event.event === "ready") ready.resolve(event);
  });
  const exited = once(child, "exit");
  const { api, account_id } = await Promise.race([
    ready.promise,
    exited.then(() => Promise.reject(new Error("the server ended before it was ready"))),
  ]);
  const readyMs = performance.now() - began;
  const readyRssMb = await rss(child.pid);
  const call = async (method: string, path: string, body?: unknown): Promise<{ result: { queue_id: string }[] }> => {
    const response = await fetch(`${api}/accounts/${account_id}${path}`, {
      method,
      headers: { authorization: "Bearer benchmark" },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return (await response.json()) as { result: { queue_id: string }[] };
  };
  const listed = await call("GET", "/queues");
  for (const { queue_id } of listed.result) {
    await call("POST", `/queues/${queue_id}/messages/peek`, { batch_size: 10 });
    await call("POST", `/queues/${queue_id}/messages`, { body: "one more", content_type: "text" });
  }
  const workedRssMb = await rss(child.pid);
  child.kill("SIGTERM");
  await exited;
  return { readyMs, readyRssMb, workedRssMb };
}

/** Resident memory of a process, in MB; Linux only. */
async function rss(pid: number | undefined): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1_024;
}
