// How long a message takes from the sender to the handler when there is little to do: 200 messages a second, no batch window.
//
//   npm run bench -- latency              also alone: node benchmarks/latency.ts

import { join } from "node:path";
import { Histogram } from "../packages/millrace/src/cli/bench/histogram.ts";
import type { HttpAddress } from "../packages/millrace/src/cli/bench/http-connection.ts";
import { numberMark, requestText } from "../packages/millrace/src/cli/bench/http-load.ts";
import { messageBody } from "../packages/millrace/src/cli/bench/message-body.ts";
import type { StorelessAddress, StorelessPlan } from "./baselines/storeless-host.ts";
import { runAlone } from "./harness/alone.ts";
import type { Benchmark, Case, Contender, Context, OpenCase } from "./harness/benchmark.ts";
import { ChildModule } from "./harness/child-module.ts";
import { ServersUnderTest } from "./harness/servers-under-test.ts";
import type { ServerUnderTest } from "./harness/servers-under-test.ts";
import type { PacedPlan, PacedResult } from "./load/paced-load.ts";
import type { PacedSyncsPlan, PacedSyncsResult } from "./load/paced-syncs.ts";
import { callerSource } from "./workers/caller.ts";

const perSecond = 200;

export const latency: Benchmark = {
  name: "latency",
  title: "Latency from send to handler",
  cases: () => [latencyCase()],
};

function latencyCase(): Case {
  return {
    name: "200 messages a second",
    what:
      "From the first byte of the request that sends a message until the handler that got it has called back over HTTP, at a steady " +
      "pace with a batch timeout of 0. Beside it the same call back from the same Worker's fetch handler, without a queue: what " +
      "the way there and back costs; and pages of a file, written over and synced at the same pace: what a sync costs then.",
    unit: "ms (median)",
    ratios: [
      { of: "Millrace", to: "without a queue" },
      { of: "Millrace, sent over REST", to: "without a queue" },
      { of: "Millrace", to: "bare sync of a page" },
    ],
    bounds: [
      { of: "Millrace", what: "p50", atMost: 2 },
      { of: "Millrace", what: "p99", atMost: 6 },
    ],
    open,
  };
}

async function open({ options, folder }: Context): Promise<OpenCase> {
  await using parts = new AsyncDisposableStack();
  const generator = parts.use(new ChildModule(new URL("load/generator.ts", import.meta.url)));
  const storeless = parts.use(new ChildModule(new URL("baselines/storeless-host.ts", import.meta.url)));
  const servers = parts.use(await ServersUnderTest.start(folder, { ...options, queues: 1 }, "none"));
  const callback = `http://127.0.0.1:${await generator.call<number>("callbackPort")}`;
  const texts = { TEXT: "x".repeat(Math.max(0, options.bytes - 31)), CALLBACK: callback };

  let firstNumber = 0;
  const paced = (name: string, address: HttpAddress, text: string): Contender => ({
    name,
    run: async (seconds) => {
      const plan: PacedPlan = { address, text, perSecond, seconds, firstNumber };
      firstNumber += Math.ceil(perSecond * seconds) + 1;
      const { handled, answered, check } = await generator.call<PacedResult>("paced", plan);
      const times = Histogram.from(handled);
      const answers = Histogram.from(answered);
      const facts = { "answered, p50 ms": answers.percentileMs(0.5), "answered, p99 ms": answers.percentileMs(0.99) };
      return { value: times.percentileMs(0.5), latency: times, check, facts };
    },
  });
  const get = (path: string): string => requestText({ method: "GET", path, host: "localhost" });

  const contenders: Contender[] = [];
  const overRest = ({ millrace, queues }: ServerUnderTest): Contender => {
    const [queue] = queues;
    if (queue === undefined) throw new Error("a server without a queue");
    const body = `{"body":${messageBody(options.bytes)}}`;
    const text = millrace.requestText("POST", millrace.messagesPath(queue), body);
    return paced("Millrace, sent over REST", millrace.address, text);
  };
  for (const { name, millrace, queues } of servers.all) {
    const [queue] = queues;
    if (queue === undefined) throw new Error("a server without a queue");
    await millrace.deploy({ name: "caller", source: callerSource, queues: { QUEUE: queue.name }, texts });
    await millrace.consumeBy(queue, "caller", 10, null);
    contenders.push(paced(name, await millrace.ownAddress("caller"), get(`/send/${numberMark}`)));
  }
  const [first] = servers.all;
  if (first !== undefined) contenders.push(overRest(first));

  const plan: StorelessPlan = { folder: join(folder, "storeless"), source: callerSource, texts };
  const { ownPort } = await storeless.call<StorelessAddress>("open", plan);
  contenders.push(paced("without a queue", { host: "127.0.0.1", port: ownPort }, get(`/call/${numberMark}`)));
  contenders.push({
    name: "bare sync of a page",
    run: async (seconds) => {
      const syncs: PacedSyncsPlan = { folder, perSecond, seconds };
      const times = Histogram.from((await generator.call<PacedSyncsResult>("pacedSyncs", syncs)).latency);
      return { value: times.percentileMs(0.5), latency: times };
    },
  });
  const disposal = parts.move();
  return { contenders, [Symbol.asyncDispose]: async () => await disposal.disposeAsync() };
}

if (import.meta.main) await runAlone(latency);
