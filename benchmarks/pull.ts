// Pull and acknowledge over the REST API, a hundred messages at a time.
//
//   npm run bench -- pull                 also alone: node benchmarks/pull.ts

import { Histogram } from "../packages/millrace/src/cli/bench/histogram.ts";
import { messageBody } from "../packages/millrace/src/cli/bench/message-body.ts";
import { numberMark } from "../packages/millrace/src/cli/bench/http-load.ts";
import type { PullPlan, PullResult } from "../packages/millrace/src/cli/bench/pull-load.ts";
import { runAlone } from "./harness/alone.ts";
import type { Benchmark, Case, Contender, Context, Measurement, OpenCase } from "./harness/benchmark.ts";
import { ChildModule } from "./harness/child-module.ts";
import { startCpuCount } from "./harness/cpu-time.ts";
import { ServersUnderTest } from "./harness/servers-under-test.ts";
import type { ServerUnderTest } from "./harness/servers-under-test.ts";
import { messagesOfTurn, storeSpread } from "./harness/store-messages.ts";

const batchSize = 100;
const connectionsCases = [1, 8];
/** What a turn of a second takes, roughly. */
const messagesPerSecond = 60_000;

export const pull: Benchmark = {
  name: "pull",
  title: "Pull and ack over the REST API",
  cases: () => connectionsCases.map(pullCase),
};

function pullCase(connections: number): Case {
  const several = connections > 1;
  return {
    name: several ? `${connections} connections` : "one connection",
    what:
      "A stored backlog is pulled in batches of 100 and each batch acknowledged. Beside it a bare Node HTTP server that answers " +
      "the same bytes to the same requests.",
    unit: "messages/s",
    ratios: [{ of: "Millrace", to: "bare HTTP server" }, ...ServersUnderTest.ratios],
    ...(several && { bounds: [{ of: "Millrace", what: "value", atLeast: 80_000 }] }),
    open: async (context) => await open(context, connections),
  };
}

async function open({ options, folder }: Context, connections: number): Promise<OpenCase> {
  await using parts = new AsyncDisposableStack();
  const generator = parts.use(new ChildModule(new URL("load/generator.ts", import.meta.url)));
  const bare = parts.use(new ChildModule(new URL("baselines/bare-server.ts", import.meta.url)));
  const servers = parts.use(await ServersUnderTest.start(folder, options));
  const { bytes } = options;
  const messagesOf = (seconds: number): number =>
    messagesOfTurn(messagesPerSecond * seconds, { batch: batchSize, bytes });

  const measure = async (plan: PullPlan, server: number): Promise<Measurement> => {
    const cpu = startCpuCount({ server, generator: generator.pid });
    const { check, ms, latency } = await generator.call<PullResult>("pull", plan);
    const taken = plan.expected.numbers;
    return { value: (taken / ms) * 1_000, latency: Histogram.from(latency), cpuUs: cpu(taken), check };
  };
  const millraceOf = ({ name, millrace, queues }: ServerUnderTest): Contender => {
    let firstNumber = 0;
    return {
      name,
      run: async (seconds) => {
        const numbers = messagesOf(seconds);
        await storeSpread(generator, millrace, queues, { firstNumber, messages: numbers, bytes });
        const expected = { firstNumber, numbers, refused: [] };
        firstNumber += numbers;
        const paths = queues.map((queue) => millrace.messagesPath(queue));
        const { address, host, headers } = millrace;
        return await measure({ address, host, headers, paths, connections, batchSize, expected }, millrace.pid);
      },
    };
  };

  const [first] = servers.all;
  if (first === undefined) throw new Error("no server to measure");
  const port = await bare.call<number>("listen", {
    answers: { "/messages/pull": cannedPull(bytes), "/messages/ack": '{"success":true,"result":{"ackCount":100}}' },
  });
  const bareServer: Contender = {
    name: "bare HTTP server",
    run: async (seconds) => {
      const numbers = messagesOf(seconds);
      const plan: PullPlan = {
        address: { host: "127.0.0.1", port },
        host: first.millrace.host,
        headers: first.millrace.headers,
        paths: ["/messages"],
        connections,
        batchSize,
        expected: { firstNumber: 0, numbers, refused: [] },
        batches: numbers / batchSize,
      };
      // The same batch over and over: there is nothing to check.
      return { ...(await measure(plan, bare.pid)), check: undefined };
    },
  };
  const disposal = parts.move();
  return {
    contenders: [...servers.all.map(millraceOf), bareServer],
    [Symbol.asyncDispose]: async () => await disposal.disposeAsync(),
  };
}

/** A pull's answer as Millrace gives it. */
function cannedPull(bytes: number): string {
  const message = {
    id: "0".repeat(32),
    body: Buffer.from(messageBody(bytes).replace(numberMark, "0".repeat(10))).toString("base64"),
    attempts: 1,
    timestamp_ms: 1_790_000_000_000,
    metadata: { "CF-Content-Type": "json" },
    lease_id: `1-${"0".repeat(24)}`,
  };
  const metrics = { backlog_count: 123_456, backlog_bytes: 12_345_678, oldest_message_timestamp_ms: 1_790_000_000_000 };
  const result = {
    message_backlog_count: 123_456,
    messages: Array.from({ length: batchSize }, () => message),
    metadata: { metrics },
  };
  return JSON.stringify({ success: true, errors: [], messages: [], result });
}

if (import.meta.main) await runAlone(pull);
