// How long a server takes to be ready, and how much memory it takes, with nothing stored and with a large backlog.
//
//   npm run bench -- start-with-backlog --backlog 5000000      also alone: node benchmarks/start-with-backlog.ts

import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { runAlone } from "./harness/alone.ts";
import type { Benchmark, Case, Contender, Context, OpenCase, RunOptions } from "./harness/benchmark.ts";
import { residentMb } from "./harness/cpu-time.ts";
import { fill } from "./harness/fill.ts";
import { MillraceServer } from "./harness/server.ts";
import type { BenchQueue } from "./harness/server.ts";

const queues = 100;
const readyMemory = "memory when ready, MB";
const workedMemory = "memory after a peek and a send in every queue, MB";

export const startWithBacklog: Benchmark = {
  name: "start-with-backlog",
  title: "Starting with a backlog",
  cases: (options) => [startCase(backlogOf(options))],
};

const backlogOf = ({ backlog, quick }: RunOptions): number => (backlog > 0 ? backlog : quick ? 100_000 : 5_000_000);

function startCase(messages: number): Case {
  const full = `${messages.toLocaleString("en")} messages stored`;
  return {
    name: `${messages.toLocaleString("en")} messages in ${queues} queues`,
    what:
      "From the start of the process until the server accepts requests, with nothing stored and with the backlog. Beside it Node " +
      "itself, starting and doing nothing.",
    unit: "ms",
    ratios: [
      { of: full, to: "nothing stored" },
      { of: "nothing stored", to: "Node alone" },
    ],
    bounds: [
      { of: full, what: "value", atMost: 1_000 },
      { of: full, what: { fact: workedMemory }, atMost: 200 },
    ],
    open: async (context) => await open(context, messages, full),
  };
}

async function open({ options, folder }: Context, messages: number, full: string): Promise<OpenCase> {
  const { bytes } = options;
  const server = async (name: string, data: string, count: number): Promise<Contender> => {
    const made = await fill(data, { queues, messages: count, bytes });
    return { name, run: async () => await start(data, made) };
  };
  return {
    contenders: [
      await server("nothing stored", join(folder, "empty"), 0),
      await server(full, join(folder, "full"), messages),
      { name: "Node alone", run: async () => ({ value: await startNode() }) },
    ],
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

async function start(data: string, made: readonly BenchQueue[]): ReturnType<Contender["run"]> {
  await using server = await MillraceServer.start(data);
  const ready = residentMb(server.pid);
  for (const { id } of made) {
    await server.call("POST", `/queues/${id}/messages/peek`, { batch_size: 10 });
    await server.call("POST", `/queues/${id}/messages`, { body: "one more", content_type: "text" });
  }
  const worked = residentMb(server.pid);
  const facts = { [readyMemory]: ready ?? Number.NaN, [workedMemory]: worked ?? Number.NaN };
  return { value: server.readyMs, facts };
}

async function startNode(): Promise<number> {
  const startedAt = performance.now();
  await once(spawn(process.execPath, ["--eval", "0"], { stdio: "ignore" }), "exit");
  return performance.now() - startedAt;
}

if (import.meta.main) await runAlone(startWithBacklog);
