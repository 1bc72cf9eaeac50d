// Graphile Worker on PostgreSQL, with its local queue and batched completions as its documentation on performance tells.

import { hasPackage, loadPackage } from "./peer.ts";
import type { Body, Peer } from "./peer.ts";
import { postgresMissing, startPostgres } from "./postgres.ts";

interface GraphilePackage {
  readonly Logger: new (factory: () => () => void) => unknown;
  readonly makeWorkerUtils: (options: object) => Promise<{
    migrate(): Promise<void>;
    addJob(task: string, payload: Body): Promise<unknown>;
    addJobs(jobs: readonly { readonly identifier: string; readonly payload: Body }[]): Promise<unknown>;
    release(): Promise<void>;
  }>;
  readonly run: (options: object) => Promise<{ stop(): Promise<void> }>;
}

interface PgPackage {
  readonly Pool: new (options: object) => {
    on(event: "error", listener: () => void): unknown;
    on(event: "connect", listener: (client: Listened) => void): unknown;
    end(): Promise<void>;
  };
}

interface Listened {
  on(event: "error", listener: () => void): unknown;
}

const connections = 32;
const concurrentJobs = 64;
const localQueueSize = 500;

export const graphileWorker: Peer = {
  name: "graphile-worker",
  durability: "synced before the answer",
  missing: () =>
    postgresMissing() ?? (hasPackage("graphile-worker") ? undefined : "benchmarks/peers/install.sh postgres"),
  start: async (folder) => {
    await using parts = new AsyncDisposableStack();
    const postgres = parts.use(await startPostgres(folder));
    const { Logger, makeWorkerUtils, run } = await loadPackage<GraphilePackage>("graphile-worker");
    const logger = new Logger(() => () => undefined);
    const { Pool } = (await loadPackage<{ readonly default: PgPackage }>("pg")).default;
    const pgPool = new Pool({ connectionString: postgres.url, max: connections });
    const ignore = (): void => undefined; // a query that fails says so itself
    pgPool.on("error", ignore);
    pgPool.on("connect", (client) => client.on("error", ignore));
    parts.defer(async () => await pgPool.end());
    const utils = await makeWorkerUtils({ pgPool, logger });
    parts.defer(async () => await utils.release());
    await utils.migrate();
    const disposal = parts.move();
    return {
      pids: { postgres: postgres.pid },
      send: async (payload) => void (await utils.addJob("m", payload)),
      sendMany: async (bodies) => void (await utils.addJobs(bodies.map((payload) => ({ identifier: "m", payload })))),
      consume: async ({ isQuiet }, handle) => {
        const batching = { localQueue: { size: localQueueSize }, completeJobBatchDelay: 0 };
        const runner = await run({
          pgPool,
          logger,
          taskList: { m: (payload: Body) => handle([payload]) },
          noHandleSignals: true,
          preset: { worker: { concurrentJobs, pollInterval: 1_000, ...(!isQuiet && batching) } },
        });
        return { [Symbol.asyncDispose]: async () => await runner.stop() };
      },
      [Symbol.asyncDispose]: async () => await disposal.disposeAsync(),
    };
  },
};
