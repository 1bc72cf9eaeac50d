// Delivery of a stored backlog into a Worker's queue handler.
//
//   npm run bench -- delivery             also alone: node benchmarks/delivery.ts

import { join } from "node:path";
import type { DeliveryCheck } from "../packages/millrace/src/cli/bench/pull-load.ts";
import type { DeliverPlan, StorelessAddress, StorelessPlan } from "./baselines/storeless-host.ts";
import { runAlone } from "./harness/alone.ts";
import type { Benchmark, Case, Contender, Context, OpenCase } from "./harness/benchmark.ts";
import { ChildModule } from "./harness/child-module.ts";
import { startCpuCount } from "./harness/cpu-time.ts";
import { askReceiver, deployReceiver } from "./harness/receiver.ts";
import { startServerCount } from "./harness/server-count.ts";
import { ServersUnderTest } from "./harness/servers-under-test.ts";
import type { BenchQueue } from "./harness/server.ts";
import type { ServerUnderTest } from "./harness/servers-under-test.ts";
import { messagesOfTurn, storeSpread } from "./harness/store-messages.ts";
import { receiverSource } from "./workers/receiver.ts";

interface Shape {
  readonly batch: number;
  readonly concurrency: number;
}

const shapes: readonly Shape[] = [10, 100].flatMap((batch) =>
  [1, 4, 16].map((concurrency) => ({ batch, concurrency })),
);
const quickShapes: readonly Shape[] = [
  { batch: 10, concurrency: 4 },
  { batch: 100, concurrency: 4 },
];
/** What a turn of a second delivers, roughly; turns are so many messages, not so long. */
const messagesPerSecond = { 10: 20_000, 100: 60_000 } as const;

export const delivery: Benchmark = {
  name: "delivery",
  title: "Delivery of a backlog into queue()",
  cases: ({ quick }) => (quick ? quickShapes : shapes).map(deliveryCase),
};

function deliveryCase(shape: Shape): Case {
  const { batch, concurrency } = shape;
  return {
    name: `batches of ${batch}, ${concurrency} at once`,
    what:
      "A stored backlog is released and the clock runs until the last message is acknowledged on disk. Beside it the same " +
      "dispatcher and Worker, fed with batches from memory. Of many queues each has one batch under way when the clock starts.",
    unit: "messages/s",
    ratios: [{ of: "Millrace", to: "dispatcher fed from memory", target: 0.85 }, ...ServersUnderTest.ratios],
    ...(batch === 100 && concurrency > 1 && { bounds: [{ of: "Millrace", what: "value", atLeast: 100_000 }] }),
    open: async (context) => await open(context, shape),
  };
}

async function open({ options, folder }: Context, shape: Shape): Promise<OpenCase> {
  const { batch, concurrency } = shape;
  // With more under way at once, too much of a queue's share would be held when the clock begins to run.
  const spread = batch === 10 && concurrency === 1 ? options.queues : 1;
  await using parts = new AsyncDisposableStack();
  const generator = parts.use(new ChildModule(new URL("load/generator.ts", import.meta.url)));
  const storeless = parts.use(new ChildModule(new URL("baselines/storeless-host.ts", import.meta.url)));
  const servers = parts.use(await ServersUnderTest.start(folder, { ...options, queues: spread }, "none"));
  for (const { millrace, queues } of servers.all) await deployReceiver(millrace, queues, batch, concurrency);

  const millraceOf = ({ name, millrace, queues }: ServerUnderTest): Contender => {
    let firstNumber = 0;
    return {
      name,
      run: async (seconds) => {
        const messages = messagesOf(shape, seconds, options.bytes);
        const [queue] = queues;
        if (queue === undefined) throw new Error("a server without a queue");
        await forAll(queues, async (each) => await millrace.pause(each, true));
        await storeSpread(generator, millrace, queues, { firstNumber, messages, bytes: options.bytes });
        await askReceiver(millrace, `/expect/${firstNumber}`);
        firstNumber += messages;
        const { pid: worker } = await millrace.worker("receiver");
        const cpu = startCpuCount({ server: millrace.pid, worker });
        const counted = startServerCount(millrace.pid);
        if (queues.length > 1) {
          await askReceiver(millrace, "/hold");
          await forAll(queues, async (each) => await millrace.pause(each, false));
        }
        const startedAt = performance.now();
        await (queues.length > 1 ? askReceiver(millrace, "/letgo") : millrace.pause(queue, false));
        await forAll(queues, async (each) => await millrace.drained(each));
        await millrace.pause(queue, true); // is on disk when it is answered, and all that was settled before with it
        const ms = performance.now() - startedAt;
        const cpuUs = cpu(messages);
        const facts = counted(messages);
        const check = (await askReceiver(millrace, `/report/${messages}`)) as DeliveryCheck;
        return { value: (messages / ms) * 1_000, cpuUs, facts, check };
      },
    };
  };

  const plan: StorelessPlan = { folder: join(folder, "storeless"), source: receiverSource, texts: {} };
  const { port, workerPid } = await storeless.call<StorelessAddress>("open", plan);
  let firstNumber = 0;
  const fromMemory: Contender = {
    name: "dispatcher fed from memory",
    run: async (seconds) => {
      const messages = messagesOf(shape, seconds, options.bytes);
      const ask = async (path: string): Promise<unknown> =>
        await (await fetch(`http://127.0.0.1:${port}${path}`)).json();
      await ask(`/expect/${firstNumber}`);
      const deliver: DeliverPlan = { firstNumber, messages, bytes: options.bytes, batch, concurrency };
      firstNumber += messages;
      const cpu = startCpuCount({ server: storeless.pid, worker: workerPid });
      const ms = await storeless.call<number>("deliver", deliver);
      return {
        value: (messages / ms) * 1_000,
        cpuUs: cpu(messages),
        check: (await ask(`/report/${messages}`)) as DeliveryCheck,
      };
    },
  };
  const disposal = parts.move();
  return {
    contenders: [...servers.all.map(millraceOf), fromMemory],
    [Symbol.asyncDispose]: async () => await disposal.disposeAsync(),
  };
}

const callsAtOnce = 16;

async function forAll(queues: readonly BenchQueue[], act: (queue: BenchQueue) => Promise<void>): Promise<void> {
  const left = queues.values();
  const actInTurn = async (): Promise<void> => {
    for (const queue of left) await act(queue);
  };
  await Promise.all(Array.from({ length: callsAtOnce }, actInTurn));
}

function messagesOf({ batch }: Shape, seconds: number, bytes: number): number {
  const perSecond = batch === 100 ? messagesPerSecond[100] : messagesPerSecond[10];
  return messagesOfTurn(perSecond * seconds, { batch, bytes });
}

if (import.meta.main) await runAlone(delivery);
