// Producers and consumers at once, for as long as it takes to see what builds up: memory, checkpoints, the worst wait.
//
//   npm run bench -- steady-state --duration 600      also alone: node benchmarks/steady-state.ts

import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { Histogram } from "../packages/millrace/src/cli/bench/histogram.ts";
import type { LoadPlan, LoadResult } from "../packages/millrace/src/cli/bench/http-load.ts";
import { messageBody } from "../packages/millrace/src/cli/bench/message-body.ts";
import type { DeliveryCheck } from "../packages/millrace/src/cli/bench/pull-load.ts";
import type { AppendPlan, AppendResult } from "../packages/millrace/src/cli/bench/raw-append.ts";
import { runAlone } from "./harness/alone.ts";
import type { Benchmark, Case, Contender, Context, OpenCase } from "./harness/benchmark.ts";
import { ChildModule } from "./harness/child-module.ts";
import { residentMb, startCpuCount } from "./harness/cpu-time.ts";
import { askReceiver, deployReceiver } from "./harness/receiver.ts";
import { ServersUnderTest } from "./harness/servers-under-test.ts";
import type { ServerUnderTest } from "./harness/servers-under-test.ts";
import { slopeOf } from "./harness/slope.ts";
import type { Progress } from "./load/followed-load.ts";
import type { PacedSyncsPlan, PacedSyncsResult } from "./load/paced-syncs.ts";

const batchSize = 100;
const sampleMs = 500;
/** Producers wait while more than this is stored, so that what is measured is a state that could last. */
const mostStored = 50_000;
/** Of a file beside it: about as often as the server syncs. */
const syncsPerSecond = 200;

export const steadyState: Benchmark = {
  name: "steady-state",
  title: "Steady state",
  cases: () => [steadyCase("one message a request", 1), steadyCase("100 messages a request", 100)],
};

function steadyCase(name: string, count: number): Case {
  return {
    name,
    what:
      "Producers push over REST while a Worker consumes in batches of 100; the figure is what was stored, delivered and acknowledged. " +
      `Producers wait while more than ${mostStored.toLocaleString("en")} messages are stored. Beside it bare append+fdatasync of the ` +
      "same bytes, as many messages to a sync as there are under way; and pages of a file, written over and synced " +
      `${syncsPerSecond} times a second for a fifth of the time: what such a disk makes one wait.`,
    unit: "messages/s",
    ratios: [{ of: "Millrace", to: "bare append+fdatasync" }, ...ServersUnderTest.ratios],
    bounds: [{ of: "Millrace", what: "longest", atMost: 250 }],
    mostRounds: 2,
    open: async (context) => await open(context, count),
  };
}

async function open({ options, folder }: Context, count: number): Promise<OpenCase> {
  await using parts = new AsyncDisposableStack();
  const generator = parts.use(new ChildModule(new URL("load/generator.ts", import.meta.url)));
  const servers = parts.use(await ServersUnderTest.start(folder, { ...options, queues: 1 }, "none"));
  for (const { millrace, queues } of servers.all) await deployReceiver(millrace, queues, batchSize, null);
  await mkdir(join(folder, "raw"));
  const { connections, bytes } = options;
  const one = `{"body":${messageBody(bytes)}}`;
  const body = count === 1 ? one : `{"messages":[${Array.from({ length: count }, () => one).join(",")}]}`;

  const millraceOf = ({ name, millrace, queues }: ServerUnderTest): Contender => {
    let firstNumber = 0;
    return {
      name,
      run: async (seconds, isWarmUp) => {
        const [queue] = queues;
        if (queue === undefined) throw new Error("a server without a queue");
        await askReceiver(millrace, `/expect/${firstNumber}`);
        const path = `${millrace.messagesPath(queue)}${count === 1 ? "" : "/batch"}`;
        const plan: LoadPlan = {
          address: millrace.address,
          connections,
          seconds: isWarmUp ? seconds : options.duration,
          texts: [millrace.requestText("POST", path, body)],
          firstNumber,
        };
        const { pid: worker } = await millrace.worker("receiver");
        const cpu = startCpuCount({ server: millrace.pid, worker, generator: generator.pid });
        const startedAt = performance.now();
        const state = { isRunning: true };
        const loading = generator.call<LoadResult>("followedLoad", plan).finally(() => (state.isRunning = false));
        const memory: { minutes: number; server: number; worker: number }[] = [];
        while (state.isRunning) {
          await Promise.race([delay(sampleMs), loading]);
          const hold = state.isRunning && (await millrace.backlog(queue)) > mostStored;
          await generator.call<Progress>("follow", { hold });
          memory.push({
            minutes: (performance.now() - startedAt) / 60_000,
            server: residentMb(millrace.pid) ?? Number.NaN,
            worker: worker === undefined ? Number.NaN : (residentMb(worker) ?? Number.NaN),
          });
        }
        const load = await loading;
        if (load.refused.length > 0) throw new Error(`messages were refused: ${load.firstRefusal}`);
        await millrace.drained(queue);
        const ms = performance.now() - startedAt;
        firstNumber += load.numbers;
        const report = await askReceiver(millrace, `/report/${load.numbers}`);
        // What came up while everything warmed up is no slope.
        const settled = memory.slice(memory.length >> 1);
        return {
          value: (load.numbers / ms) * 1_000,
          latency: Histogram.from(load.latency),
          cpuUs: cpu(load.numbers),
          check: report as DeliveryCheck,
          facts: {
            "longest from send to handler, ms": (report as { readonly oldestMs: number }).oldestMs,
            "memory of the server, MB": memory.at(-1)?.server ?? Number.NaN,
            "memory of the Worker, MB": memory.at(-1)?.worker ?? Number.NaN,
            "growth of the server, MB a minute": slopeOf(settled.map(({ minutes, server }) => [minutes, server])),
            "growth of the Worker, MB a minute": slopeOf(settled.map((sample) => [sample.minutes, sample.worker])),
          },
        };
      },
    };
  };
  const rawFile: Contender = {
    name: "bare append+fdatasync",
    run: async (seconds) => {
      const plan: AppendPlan = { folder: join(folder, "raw"), bytes, group: connections * count, seconds };
      const { records, ms, latency } = await generator.call<AppendResult>("append", plan);
      return { value: (records / ms) * 1_000, latency: Histogram.from(latency) };
    },
  };
  const syncs: Contender = {
    name: "bare sync of a page",
    run: async (seconds, isWarmUp) => {
      const plan: PacedSyncsPlan = {
        folder: join(folder, "raw"),
        perSecond: syncsPerSecond,
        seconds: isWarmUp ? seconds : options.duration / 5,
      };
      const { syncs: pages, ms, latency } = await generator.call<PacedSyncsResult>("pacedSyncs", plan);
      return { value: (pages / ms) * 1_000, latency: Histogram.from(latency) };
    },
  };
  const disposal = parts.move();
  return {
    contenders: [rawFile, syncs, ...servers.all.map(millraceOf)],
    [Symbol.asyncDispose]: async () => await disposal.disposeAsync(),
  };
}

if (import.meta.main) await runAlone(steadyState);
