// BullMQ on a Redis with an append-only file.

import { hasPackage, loadPackage } from "./peer.ts";
import type { Body, Peer, Session } from "./peer.ts";
import { findProgram, freePort, startProgram } from "./programs.ts";

interface BullMq {
  readonly Queue: new (
    name: string,
    options: object,
  ) => {
    add(name: string, data: Body): Promise<unknown>;
    addBulk(jobs: readonly { readonly name: string; readonly data: Body }[]): Promise<unknown>;
    close(): Promise<void>;
  };
  readonly Worker: new (
    name: string,
    handle: (job: { readonly data: Body }) => Promise<void>,
    options: object,
  ) => {
    waitUntilReady(): Promise<unknown>;
    close(): Promise<void>;
    on(event: "error", listener: () => void): unknown;
  };
}

const concurrency = 64;

export const bullmqAlways = bullmq("BullMQ, appendfsync always", "always");
export const bullmqEverySecond = bullmq("BullMQ, appendfsync everysec", "everysec");

function bullmq(name: string, appendfsync: "always" | "everysec"): Peer {
  return {
    name,
    durability: appendfsync === "always" ? "synced before the answer" : "synced later",
    missing: () =>
      findProgram("redis-server") === undefined || !hasPackage("bullmq")
        ? "benchmarks/peers/install.sh redis"
        : undefined,
    start: async (folder) => await start(folder, appendfsync),
  };
}

async function start(folder: string, appendfsync: string): Promise<Session> {
  await using parts = new AsyncDisposableStack();
  const binary = findProgram("redis-server");
  if (binary === undefined) throw new Error("redis-server is not installed");
  const port = await freePort();
  const args = ["--port", `${port}`, "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--appendonly", "yes"];
  const program = parts.use(
    await startProgram({ binary, args: [...args, "--appendfsync", appendfsync], port, folder, stopSignal: "SIGKILL" }),
  );
  const { Queue, Worker } = await loadPackage<BullMq>("bullmq");
  const connection = { host: "127.0.0.1", port, maxRetriesPerRequest: null };
  const defaultJobOptions = { removeOnComplete: true, removeOnFail: true };
  const queue = new Queue("bench", { connection, defaultJobOptions });
  parts.defer(async () => await queue.close());
  const disposal = parts.move();
  return {
    pids: { redis: program.pid },
    send: async (body) => void (await queue.add("m", body)),
    sendMany: async (bodies) => void (await queue.addBulk(bodies.map((data) => ({ name: "m", data })))),
    consume: async (_how, handle) => {
      const handleOne = ({ data }: { readonly data: Body }): Promise<void> => {
        handle([data]);
        return Promise.resolve();
      };
      const worker = new Worker("bench", handleOne, { connection, concurrency });
      worker.on("error", () => undefined); // a job that fails is missing in the count
      await worker.waitUntilReady();
      return { [Symbol.asyncDispose]: async () => await worker.close() };
    },
    [Symbol.asyncDispose]: async () => await disposal.disposeAsync(),
  };
}
