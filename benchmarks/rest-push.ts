// Messages over the REST API, one by one and a hundred at a time.
//
//   npm run bench -- rest-push            also alone: node benchmarks/rest-push.ts

import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { Histogram } from "../packages/millrace/src/cli/bench/histogram.ts";
import { requestText } from "../packages/millrace/src/cli/bench/http-load.ts";
import type { LoadPlan, LoadResult } from "../packages/millrace/src/cli/bench/http-load.ts";
import { messageBody } from "../packages/millrace/src/cli/bench/message-body.ts";
import type { AppendPlan, AppendResult } from "../packages/millrace/src/cli/bench/raw-append.ts";
import { runAlone } from "./harness/alone.ts";
import type { Benchmark, Case, Contender, Context, OpenCase } from "./harness/benchmark.ts";
import { ChildModule } from "./harness/child-module.ts";
import { startCpuCount } from "./harness/cpu-time.ts";
import { emptied } from "./harness/emptied.ts";
import { fittingBatch } from "./harness/fitting-batch.ts";
import { startServerCount } from "./harness/server-count.ts";
import { ServersUnderTest } from "./harness/servers-under-test.ts";
import type { ServerUnderTest } from "./harness/servers-under-test.ts";

export const restPush: Benchmark = {
  name: "rest-push",
  title: "Push over the REST API",
  cases: ({ bytes }) => {
    const count = fittingBatch(bytes);
    return [pushCase("one message a request", 1, 0.5), pushCase(`${count} messages a request`, count, undefined)];
  },
};

function pushCase(name: string, count: number, echoTarget: number | undefined): Case {
  return {
    name,
    what:
      "Producers on kept-alive connections, each with one request under way. Beside it a bare Node HTTP server that reads the " +
      "same requests and answers the same bytes, and bare append+fdatasync of the same bytes, as many messages to a sync as " +
      "there are under way.",
    unit: "messages/s",
    ratios: [
      { of: "Millrace", to: "bare HTTP echo", target: echoTarget },
      { of: "Millrace", to: "bare append+fdatasync" },
      ...ServersUnderTest.ratios,
    ],
    ...(count === 100 && { bounds: [{ of: "Millrace", what: "value", atLeast: 150_000 }] }),
    open: async (context) => await open(context, count),
  };
}

async function open({ options, folder }: Context, count: number): Promise<OpenCase> {
  await using parts = new AsyncDisposableStack();
  const generator = parts.use(new ChildModule(new URL("load/generator.ts", import.meta.url)));
  const echo = parts.use(new ChildModule(new URL("baselines/bare-server.ts", import.meta.url)));
  const servers = parts.use(await ServersUnderTest.start(folder, options));
  await mkdir(join(folder, "raw"));
  const { connections, bytes } = options;
  const one = `{"body":${messageBody(bytes)}}`;
  const body = count === 1 ? one : `{"messages":[${Array.from({ length: count }, () => one).join(",")}]}`;
  const answer =
    '{"success":true,"errors":[],"messages":[],"result":{"metadata":{"metrics":{"backlog_count":123456,"backlog_bytes":12345678,"oldest_message_timestamp_ms":1790000000000}}}}';
  const echoPort = await echo.call<number>("listen", { answers: { "": answer } });

  const millrace = (server: ServerUnderTest): Contender => {
    let firstNumber = 0;
    return {
      name: server.name,
      run: async (seconds) => {
        const { millrace: process, queues } = server;
        const texts = queues.map((queue) => {
          const path = `${process.messagesPath(queue)}${count === 1 ? "" : "/batch"}`;
          return process.requestText("POST", path, body);
        });
        const plan: LoadPlan = { address: process.address, connections, seconds, texts, firstNumber };
        const cpu = startCpuCount({ server: process.pid, generator: generator.pid });
        const counted = startServerCount(process.pid);
        const load = await generator.call<LoadResult>("load", plan);
        const cpuUs = cpu(load.numbers);
        const facts = counted(load.numbers);
        const check = await emptied(generator, process, queues, { ...load, firstNumber });
        firstNumber += load.numbers;
        return { ...ratesOf(load), cpuUs, facts, check };
      },
    };
  };
  const bareEcho: Contender = {
    name: "bare HTTP echo",
    run: async (seconds) => {
      const host = `127.0.0.1:${echoPort}`;
      // As long a request as Millrace gets.
      const [first] = servers.all;
      const path = first === undefined ? "/" : first.millrace.messagesPath(first.queues[0] ?? { id: "", name: "" });
      const text = requestText({ method: "POST", path, host, headers: first?.millrace.headers ?? {}, body });
      const address = { host: "127.0.0.1", port: echoPort };
      const plan: LoadPlan = { address, connections, seconds, texts: [text], firstNumber: 0 };
      const cpu = startCpuCount({ server: echo.pid, generator: generator.pid });
      const load = await generator.call<LoadResult>("load", plan);
      return { ...ratesOf(load), cpuUs: cpu(load.numbers) };
    },
  };
  const rawFile: Contender = {
    name: "bare append+fdatasync",
    run: async (seconds) => {
      const plan: AppendPlan = { folder: join(folder, "raw"), bytes, group: connections * count, seconds };
      const { records, ms, latency } = await generator.call<AppendResult>("append", plan);
      return { value: (records / ms) * 1_000, latency: Histogram.from(latency) };
    },
  };
  const disposal = parts.move();
  return {
    contenders: [...servers.all.map(millrace), bareEcho, rawFile],
    [Symbol.asyncDispose]: async () => await disposal.disposeAsync(),
  };
}

function ratesOf({ numbers, refused, firstRefusal, ms, latency }: LoadResult): { value: number; latency: Histogram } {
  if (refused.length > 0) throw new Error(`${refused.length} messages were refused: ${firstRefusal}`);
  return { value: (numbers / ms) * 1_000, latency: Histogram.from(latency) };
}

if (import.meta.main) await runAlone(restPush);
