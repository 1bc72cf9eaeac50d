// The short benchmark of one machine: its disk, its HTTP, and a server on top of both, taking turns.

import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { z } from "zod";
import { settingTable } from "../../config/index.ts";
import { CommandFailure } from "../command-failure.ts";
import type { CommandContext } from "../command-context.ts";
import { createRestClient } from "../rest-client.ts";
import { startTemporaryServer } from "../temporary-server.ts";
import { Histogram } from "./histogram.ts";
import { requestText } from "./http-load.ts";
import type { LoadPlan, LoadResult } from "./http-load.ts";
import { LoadWorker } from "./load-worker.ts";
import { messageBody } from "./message-body.ts";
import { spreadOf } from "./spread.ts";
import type { Spread } from "./spread.ts";

export interface BenchPlan {
  /** Empty, on the disk that is measured. */
  readonly folder: string;
  readonly rounds: number;
  /** Of one turn. */
  readonly seconds: number;
  /** Of one message. */
  readonly bytes: number;
}

export interface BenchFigure {
  readonly name: string;
  /** Messages, or requests of the bare server, a second. */
  readonly perSecond: Spread;
  readonly latencyMs: { readonly p50: number; readonly p99: number; readonly longest: number };
}

export interface BenchReport {
  readonly figures: readonly BenchFigure[];
  /** Medians over the rounds, by what is compared with what. */
  readonly ratios: Readonly<Record<string, number>>;
  /** Messages pushed, and all of them pulled exactly once. */
  readonly delivered: number;
}

export const benchNames = {
  syncOne: "disk: append and sync one message",
  syncGroup: "disk: append and sync 64 messages",
  http: "bare HTTP server, 64 connections",
  push: "push, 64 connections",
  bulk: "push 100 at a time, 64 connections",
  pull: "pull and ack 100 at a time",
} as const;

type Name = keyof typeof benchNames;

const connections = 64;
const bulkCount = 100;

interface Turn {
  readonly count: number;
  readonly ms: number;
  readonly latency: Histogram;
}

/** Throws `CommandFailure` when a message is lost, comes twice, or is refused. `tell` hears of every round. */
export async function benchMachine(
  context: CommandContext,
  plan: BenchPlan,
  tell: (text: string) => void,
): Promise<BenchReport> {
  const { folder, rounds, seconds, bytes } = plan;
  await using parts = new AsyncDisposableStack();
  const worker = parts.use(new LoadWorker());
  const { target } = parts.use(await startTemporaryServer(withDefaults(context), join(folder, "data")));
  const bare = parts.use(await startBareServer());
  const api = new URL(target.api);
  const client = createRestClient(target);
  const { queue_id: queue } = await client.call("POST", "/queues", z.object({ queue_id: z.string() }), {
    queue_name: "bench",
  });
  await client.call("POST", `/queues/${queue}/consumers`, z.unknown(), { type: "http_pull" });
  const address = { host: api.hostname, port: Number(api.port) };
  const headers = { Authorization: `Bearer ${target.token}`, "Content-Type": "application/json" };
  const messages = `${api.pathname}/accounts/${target.accountId}/queues/${queue}/messages`;
  const one = `{"body":${messageBody(bytes)}}`;
  const many = `{"messages":[${Array.from({ length: bulkCount }, () => one).join(",")}]}`;
  const text = (path: string, body: string): string =>
    requestText({ method: "POST", path, host: api.host, headers, body });

  let number = 0;
  const load = async (to: LoadPlan["address"], request: string): Promise<LoadResult> => {
    const asked = { address: to, connections, seconds, texts: [request], firstNumber: number };
    const result = await worker.run("load", asked);
    if (result.refused.length > 0) throw new CommandFailure(`a push was refused: ${result.firstRefusal}`);
    return result;
  };
  const push = async (request: string): Promise<Turn> => {
    const result = await load(address, request);
    number += result.numbers;
    return turnOf(result.numbers, result);
  };
  const append = async (group: number): Promise<Turn> => {
    const result = await worker.run("append", { folder, bytes, group, seconds });
    return turnOf(result.records, result);
  };
  const turns = new Map<Name, Turn[]>();
  const takeTurn = (name: Name, turn: Turn): void => {
    const taken = turns.get(name);
    if (taken === undefined) turns.set(name, [turn]);
    else taken.push(turn);
  };
  let delivered = 0;
  // The first is for warming up.
  for (let round = 0; round <= rounds; round += 1) {
    if (round === 1) turns.clear();
    tell(round === 0 ? "warming up" : `round ${round} of ${rounds}`);
    const firstNumber = number;
    takeTurn("syncOne", await append(1));
    takeTurn("push", await push(text(messages, one)));
    takeTurn("http", turnOf(...countOf(await load(bare.address, text("/", one)))));
    takeTurn("bulk", await push(text(`${messages}/batch`, many)));
    takeTurn("syncGroup", await append(connections));
    const expected = { firstNumber, numbers: number - firstNumber, refused: [] };
    const pulling = { address, host: api.host, headers, paths: [messages], connections: 8, batchSize: 100, expected };
    const pulled = await worker.run("pull", pulling);
    const { check } = pulled;
    if (check.missing + check.duplicates + check.strangers > 0) {
      throw new CommandFailure(`what was pulled is not what was pushed: ${JSON.stringify(check)}`);
    }
    delivered += check.delivered;
    takeTurn("pull", turnOf(check.delivered, pulled));
  }
  const figures = (Object.keys(benchNames) as Name[]).map((name) => figureOf(name, turns.get(name) ?? []));
  return { figures, ratios: ratiosOf(turns), delivered };
}

function turnOf(
  count: number,
  { ms, latency }: { readonly ms: number; readonly latency: LoadResult["latency"] },
): Turn {
  return { count, ms, latency: Histogram.from(latency) };
}

const countOf = (result: LoadResult): [number, LoadResult] => [result.requests, result];
const rateOf = ({ count, ms }: Turn): number => (count / Math.max(ms, 1e-3)) * 1_000;

function figureOf(name: Name, turns: readonly Turn[]): BenchFigure {
  const latency = new Histogram();
  for (const turn of turns) latency.merge(turn.latency);
  const times = { p50: latency.percentileMs(0.5), p99: latency.percentileMs(0.99), longest: latency.maxMs };
  return { name: benchNames[name], perSecond: spreadOf(turns.map(rateOf)), latencyMs: times };
}

function ratiosOf(turns: ReadonlyMap<Name, readonly Turn[]>): Record<string, number> {
  const ratio = (of: Name, to: Name): number => {
    const below = turns.get(to) ?? [];
    const shares = (turns.get(of) ?? []).map((turn, round) => {
      const other = below[round];
      return other === undefined ? Number.NaN : rateOf(turn) / rateOf(other);
    });
    return spreadOf(shares).median;
  };
  return {
    [`${benchNames.push} : ${benchNames.http}`]: ratio("push", "http"),
    [`${benchNames.push} : ${benchNames.syncOne}`]: ratio("push", "syncOne"),
    [`${benchNames.bulk} : ${benchNames.syncGroup}`]: ratio("bulk", "syncGroup"),
  };
}

/** The server with its defaults, whatever this shell says about another, and a token that need not be shown. */
function withDefaults(context: CommandContext): CommandContext {
  const { env } = context.terminal;
  const others = Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith("MILLRACE_")));
  const own = { ...others, [settingTable.apiToken.variable]: crypto.randomUUID().repeat(2) };
  return { ...context, terminal: { ...context.terminal, env: own } };
}

/** Reads requests to their end and answers a few bytes: the least Node can do. */
async function startBareServer(): Promise<AsyncDisposable & { readonly address: LoadPlan["address"] }> {
  const answer = '{"success":true,"errors":[],"messages":[],"result":{}}';
  const server = createServer({ keepAliveTimeout: 0 }, (request, response) => {
    request.resume();
    request.on("end", () => {
      response.writeHead(200, { "content-type": "application/json", "content-length": answer.length });
      response.end(answer);
    });
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  return {
    address: { host: "127.0.0.1", port: (server.address() as AddressInfo).port },
    async [Symbol.asyncDispose]() {
      const closed = new Promise<void>((resolve) => void server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}
