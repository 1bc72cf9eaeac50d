// What a server costs that has nothing to do.
//
//   npm run bench -- idle                 also alone: node benchmarks/idle.ts

import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { runAlone } from "./harness/alone.ts";
import type { Benchmark, Case, Contender, Context, OpenCase } from "./harness/benchmark.ts";
import { residentMb, startCpuCount } from "./harness/cpu-time.ts";
import { fill } from "./harness/fill.ts";
import { MillraceServer } from "./harness/server.ts";

/** Of the kernel's clock for processor time, a tick is a hundredth of a second: shorter turns would see nothing. */
const leastSeconds = 10;

export const idle: Benchmark = {
  name: "idle",
  title: "Idle",
  cases: ({ quick }) => [idleCase(quick ? 1_000 : 10_000)],
};

function idleCase(queues: number): Case {
  const many = `${queues.toLocaleString("en")} queues`;
  return {
    name: many,
    what: `Processor time of a server that nobody asks for anything, with one queue and with ${many}, each with a message.`,
    unit: "% of a core",
    ratios: [],
    bounds: [{ of: many, what: "value", atMost: 1 }],
    mostRounds: 2,
    open: async (context) => await open(context, queues, many),
  };
}

async function open({ folder, options }: Context, queues: number, many: string): Promise<OpenCase> {
  await using parts = new AsyncDisposableStack();
  const server = async (name: string, count: number): Promise<Contender> => {
    const data = join(folder, `queues-${count}`);
    await fill(data, { queues: count, messages: count, bytes: options.bytes });
    const { pid } = parts.use(await MillraceServer.start(data));
    return {
      name,
      run: async (seconds) => {
        const ms = (options.quick ? seconds : Math.max(seconds, leastSeconds)) * 1_000;
        const cpu = startCpuCount({ server: pid });
        await delay(ms);
        const usedMs = (cpu(1)["server"] ?? Number.NaN) / 1_000;
        return { value: (usedMs / ms) * 100, facts: { "memory, MB": residentMb(pid) ?? Number.NaN } };
      },
    };
  };
  const contenders = [await server("one queue", 1), await server(many, queues)];
  const disposal = parts.move();
  return { contenders, [Symbol.asyncDispose]: async () => await disposal.disposeAsync() };
}

if (import.meta.main) await runAlone(idle);
