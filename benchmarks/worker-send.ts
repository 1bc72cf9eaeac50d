// A Worker whose fetch handler awaits a send before it answers.
//
//   npm run bench -- worker-send          also alone: node benchmarks/worker-send.ts

import { existsSync } from "node:fs";
import { join } from "node:path";
import { Histogram } from "../packages/millrace/src/cli/bench/histogram.ts";
import type { HttpAddress } from "../packages/millrace/src/cli/bench/http-connection.ts";
import { numberMark, requestText } from "../packages/millrace/src/cli/bench/http-load.ts";
import type { LoadPlan, LoadResult } from "../packages/millrace/src/cli/bench/http-load.ts";
import { findWorkerd } from "../packages/millrace/src/worker-host/workerd-binary.ts";
import { startSender } from "./baselines/workerd.ts";
import type { Broker, Workerd } from "./baselines/workerd.ts";
import type { StorelessAddress, StorelessPlan } from "./baselines/storeless-host.ts";
import { runAlone } from "./harness/alone.ts";
import type { Benchmark, Case, Contender, Context, Measurement, OpenCase } from "./harness/benchmark.ts";
import { ChildModule } from "./harness/child-module.ts";
import { startCpuCount } from "./harness/cpu-time.ts";
import { emptied } from "./harness/emptied.ts";
import { fittingBatch } from "./harness/fitting-batch.ts";
import { startServerCount } from "./harness/server-count.ts";
import { ServersUnderTest } from "./harness/servers-under-test.ts";
import type { ServerUnderTest } from "./harness/servers-under-test.ts";
import { newestWorkerd } from "./peers/newest-workerd.ts";
import { senderSource } from "./workers/sender.ts";

export const workerSend: Benchmark = {
  name: "worker-send",
  title: "A Worker that awaits its send",
  cases: ({ bytes }) => {
    const count = fittingBatch(bytes);
    return [sendCase("send", "send", 1, 5), sendCase(`sendBatch of ${count}`, "batch", count, 15)];
  },
};

function sendCase(name: string, path: string, count: number, builtInTarget: number): Case {
  return {
    name,
    what:
      "Requests on kept-alive connections to a Worker that awaits `send` or `sendBatch` and then answers. Beside it the same " +
      "Worker in the same runtime with a broker that answers at once and keeps nothing (a bare Node HTTP server), with the queue " +
      "that the newest workerd brings along, and without a send; all but the shared port through a TCP port of the Worker's own.",
    unit: "messages/s",
    ratios: [
      { of: "Millrace", to: "broker that does nothing", target: 0.85 },
      { of: "Millrace", to: "workerd's built-in queue", target: builtInTarget },
      { of: "Millrace", to: "no send" },
      { of: "Millrace, shared port", to: "Millrace without a store, shared port" },
      { of: "Millrace, shared port", to: "broker that does nothing" },
      ...ServersUnderTest.ratios,
    ],
    open: async (context) => await open(context, path, count),
  };
}

async function open({ options, folder }: Context, what: string, count: number): Promise<OpenCase> {
  await using parts = new AsyncDisposableStack();
  const generator = parts.use(new ChildModule(new URL("load/generator.ts", import.meta.url)));
  const servers = parts.use(await ServersUnderTest.start(folder, options));
  const text = "x".repeat(Math.max(0, options.bytes - JSON.stringify({ id: numberMark, text: "" }).length));
  const marks = Array.from({ length: count }, () => numberMark).join(",");
  const work = `/${what}/${marks}`;
  const notes: string[] = [];

  const load = async (address: HttpAddress, worker: string, paths: readonly string[], seconds: number, first = 0) => {
    const texts = paths.map((path) => requestText({ method: "GET", path, host: `${worker}.localhost` }));
    const { connections } = options;
    const plan: LoadPlan = { address, connections, seconds, texts, firstNumber: first };
    const result = await generator.call<LoadResult>("load", plan);
    if (result.refused.length > 0) throw new Error(`${result.refused.length} messages refused: ${result.firstRefusal}`);
    return result;
  };
  const nextNumber = new Map<ServerUnderTest, number>();
  const millrace = (server: ServerUnderTest, name: string, address: HttpAddress): Contender => ({
    name,
    run: async (seconds) => {
      const { millrace: process, queues } = server;
      const firstNumber = nextNumber.get(server) ?? 0;
      const { pid: worker } = await process.worker(workerOf(queues));
      const cpu = startCpuCount({ server: process.pid, worker, generator: generator.pid });
      const paths = queues.map((_, place) => (place === 0 ? work : `${work}?${bindingOf(place)}`));
      const counted = startServerCount(process.pid);
      const result = await load(address, workerOf(queues), paths, seconds, firstNumber);
      const cpuUs = cpu(result.numbers);
      const facts = counted(result.numbers);
      nextNumber.set(server, firstNumber + result.numbers);
      const check = await emptied(generator, process, queues, { ...result, firstNumber });
      return { ...rates(result), cpuUs, facts, check };
    },
  });
  const baseline = (
    name: string,
    path: string,
    address: HttpAddress,
    pids: Readonly<Record<string, number | undefined>>,
  ): Contender => ({
    name,
    run: async (seconds) => {
      const cpu = startCpuCount({ ...pids, generator: generator.pid });
      const result = await load(address, "bench", [path], seconds);
      return { ...rates(result), cpuUs: cpu(result.numbers) };
    },
  });

  const contenders: Contender[] = [];
  for (const server of servers.all) {
    const { millrace: process, queues, name } = server;
    const bindings = Object.fromEntries(queues.map((queue, place) => [bindingOf(place), queue.name]));
    const worker = workerOf(queues);
    await process.deploy({ name: worker, source: senderSource, queues: bindings, texts: { TEXT: text } });
    contenders.push(millrace(server, name, await process.ownAddress(worker)));
  }
  const [first] = servers.all;
  if (first !== undefined) contenders.push(millrace(first, "Millrace, shared port", first.millrace.sharedAddress));

  const workerd = findWorkerd();
  const senderOf = async (binary: string, name: string, broker: Broker): Promise<Workerd> =>
    parts.use(await startSender(binary, join(folder, name), broker, text, workerd.newestCompatibilityDate));
  const broker = parts.use(new ChildModule(new URL("baselines/bare-server.ts", import.meta.url)));
  const socket = join(folder, "broker");
  await broker.call("listen", { path: socket, answers: { "": bindingAnswer } });
  const idle = await senderOf(workerd.path, "idle", { kind: "socket", path: socket });
  const idlePids = { broker: broker.pid, worker: idle.pid };
  contenders.push(baseline("broker that does nothing", work, idle.address, idlePids));

  const storeless = parts.use(new ChildModule(new URL("baselines/storeless-host.ts", import.meta.url)));
  const plan: StorelessPlan = { folder: join(folder, "storeless"), source: senderSource, texts: { TEXT: text } };
  const { port, workerPid } = await storeless.call<StorelessAddress>("open", plan);
  const storelessPids = { server: storeless.pid, worker: workerPid };
  const shared = { host: "127.0.0.1", port };
  contenders.push(baseline("Millrace without a store, shared port", work, shared, storelessPids));

  const newest = newestWorkerd();
  if (existsSync(newest.path)) {
    const builtIn = await senderOf(newest.path, "built-in", { kind: "built-in" });
    contenders.push(baseline("workerd's built-in queue", work, builtIn.address, { worker: builtIn.pid }));
  } else {
    notes.push(`workerd's built-in queue took no part: ${newest.remedy}`);
  }
  contenders.push(baseline("no send", `/none/${marks}`, idle.address, idlePids));
  const disposal = parts.move();
  return { contenders, notes, [Symbol.asyncDispose]: async () => await disposal.disposeAsync() };
}

const bindingAnswer =
  '{"metadata":{"metrics":{"backlogCount":123456,"backlogBytes":12345678,"oldestMessageTimestamp":1790000000000}}}';

function rates({ numbers, ms, latency }: LoadResult): Pick<Measurement, "value" | "latency"> {
  return { value: (numbers / ms) * 1_000, latency: Histogram.from(latency) };
}

const bindingOf = (place: number): string => (place === 0 ? "QUEUE" : `QUEUE_${place}`);
/** One for the work on one queue, one for the work on many: they run in the same server. */
const workerOf = (queues: readonly unknown[]): string => (queues.length === 1 ? "bench" : "bench-many");

if (import.meta.main) await runAlone(workerSend);
