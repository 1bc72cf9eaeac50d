// Other queues on the same work, each through its own client from one Node process with so many producers at once.
//
//   benchmarks/peers/install.sh && npm run bench -- peers      also alone: node benchmarks/peers.ts

import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { Histogram } from "../packages/millrace/src/cli/bench/histogram.ts";
import type { HistogramData } from "../packages/millrace/src/cli/bench/histogram.ts";
import type { BareServerPlan } from "./baselines/bare-server.ts";
import { runAlone } from "./harness/alone.ts";
import type { Benchmark, Case, Contender, Context, OpenCase, Ratio, RunOptions } from "./harness/benchmark.ts";
import { ChildModule } from "./harness/child-module.ts";
import { startCpuCount } from "./harness/cpu-time.ts";
import type { PacedFetchesPlan } from "./load/paced-fetches.ts";
import type { PacedSyncsPlan, PacedSyncsResult } from "./load/paced-syncs.ts";
import { millraceClient } from "./peers/millrace-client.ts";
import { millraceEmbedded } from "./peers/millrace-embedded.ts";
import { peers } from "./peers/registry.ts";
import type { OpenPeer } from "./peers/runner.ts";
import { perSecond } from "./peers/work.ts";
import type { WorkKind, WorkPlan, WorkResult } from "./peers/work.ts";

interface WorkCase {
  readonly kind: WorkKind;
  readonly name: string;
  readonly what: string;
}

const works: readonly WorkCase[] = [
  { kind: "send", name: "single sends", what: "Producers that each await one send after the other." },
  {
    kind: "send-many",
    name: "sends of 100",
    what: "Producers that each await a send of 100 messages after the other.",
  },
  {
    kind: "drain",
    name: "drain of a backlog",
    what: "From the first to the last message of a stored backlog, each acknowledged.",
  },
  {
    kind: "steady",
    name: "steady state, one by one",
    what: "Producers of single messages, and consumers that take what there is, at once.",
  },
  {
    kind: "steady-many",
    name: "steady state, in batches",
    what: "Producers of 100 messages, and consumers that take what there is, at once.",
  },
  {
    kind: "latency",
    name: "latency at 200 messages a second",
    what: "From the send to the handler. Beside it what nothing that answers over `fetch` after a sync can do without: a request of a bare HTTP server, and a page of a file written over and synced, at the same pace.",
  },
];

const bareFetch = "bare fetch";
const bareSync = "bare sync of a page";

/** Stored for a drain, for each second of a turn; `--backlog` takes its place. */
const drainedPerSecond = 20_000;

export const otherQueues: Benchmark = {
  name: "peers",
  title: "Other queues on the same work",
  isLong: true,
  cases: () => works.map(peerCase),
};

function peerCase({ kind, name, what }: WorkCase): Case {
  const isLatency = kind === "latency";
  const millraces = new Set([millraceClient, millraceEmbedded]);
  const others = peers.filter((peer) => !millraces.has(peer));
  const ratios = others.map(({ name: to, durability }): Ratio => {
    const isSameClass = durability === "synced before the answer";
    return { of: millraceClient.name, to, ...(isSameClass && !isLatency && { target: 1 }) };
  });
  const later = others.filter(({ durability }) => durability === "synced later").map(({ name: each }) => each);
  return {
    name,
    what: `${what} All sync to disk before they answer, but for ${later.join(" and ")}, whose last messages a power cut may take.`,
    unit: isLatency ? "ms (median)" : "messages/s",
    ratios: [
      ...ratios,
      ...(isLatency
        ? [
            { of: millraceClient.name, to: bareFetch },
            { of: millraceEmbedded.name, to: bareSync },
          ]
        : []),
      { of: millraceEmbedded.name, to: millraceClient.name },
    ],
    open: async (context) => await open(context, kind),
  };
}

async function open({ options, folder }: Context, kind: WorkKind): Promise<OpenCase> {
  await using parts = new AsyncDisposableStack();
  const contenders: Contender[] = [];
  const notes: string[] = [];
  for (const [place, { name, missing }] of peers.entries()) {
    const isWanted = options.peers.some((word) => name.toLowerCase().includes(word));
    if (options.peers.length > 0 && !isWanted) continue;
    const remedy = missing();
    if (remedy !== undefined) {
      notes.push(`${name} took no part: install it with ${remedy}`);
      continue;
    }
    const runner = parts.use(new ChildModule(new URL("peers/runner.ts", import.meta.url)));
    const own = join(folder, `peer-${place}`);
    await mkdir(own);
    const pids = await runner.call<Record<string, number>>("open", { peer: place, folder: own } satisfies OpenPeer);
    let firstNumber = 0;
    contenders.push({
      name,
      run: async (seconds, isWarmUp) => {
        const { connections: producers, bytes, backlog } = options;
        const messages = backlog > 0 && !isWarmUp ? backlog : Math.max(100, Math.round(drainedPerSecond * seconds));
        const plan: WorkPlan = { kind, seconds, producers, bytes, messages, firstNumber };
        const cpu = startCpuCount({ ...pids, client: runner.pid });
        const result = await runner.call<WorkResult>("work", plan);
        firstNumber += result.numbers;
        const latency = Histogram.from(result.latency);
        const value = kind === "latency" ? latency.percentileMs(0.5) : (result.messages / result.ms) * 1_000;
        return { value, latency, check: result.check, cpuUs: cpu(result.messages) };
      },
    });
  }
  if (kind === "latency") contenders.push(...(await bareContenders(parts, options, folder)));
  const disposal = parts.move();
  return { contenders, notes, [Symbol.asyncDispose]: async () => await disposal.disposeAsync() };
}

/** What there is no way around at that pace. */
async function bareContenders(
  parts: AsyncDisposableStack,
  { bytes }: RunOptions,
  folder: string,
): Promise<readonly Contender[]> {
  const generator = parts.use(new ChildModule(new URL("load/generator.ts", import.meta.url)));
  const server = parts.use(new ChildModule(new URL("baselines/bare-server.ts", import.meta.url)));
  const answer = "x".repeat(bytes);
  const port = await server.call<number>("listen", { answers: { "": answer } } satisfies BareServerPlan);
  const contender = (name: string, measure: (seconds: number) => Promise<HistogramData>): Contender => ({
    name,
    run: async (seconds) => {
      const times = Histogram.from(await measure(seconds));
      return { value: times.percentileMs(0.5), latency: times };
    },
  });
  return [
    contender(bareFetch, async (seconds) => {
      const plan: PacedFetchesPlan = { url: `http://127.0.0.1:${port}/`, body: answer, perSecond, seconds };
      return await generator.call<HistogramData>("pacedFetches", plan);
    }),
    contender(bareSync, async (seconds) => {
      const plan: PacedSyncsPlan = { folder, perSecond, seconds };
      return (await generator.call<PacedSyncsResult>("pacedSyncs", plan)).latency;
    }),
  ];
}

if (import.meta.main) await runAlone(otherQueues);
