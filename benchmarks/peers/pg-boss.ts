// pg-boss on PostgreSQL.

import { setTimeout as delay } from "node:timers/promises";
import { hasPackage, loadPackage, repeatedly } from "./peer.ts";
import type { Body, Peer } from "./peer.ts";
import { postgresMissing, startPostgres } from "./postgres.ts";

interface PgBossPackage {
  readonly PgBoss: new (options: object) => {
    on(event: "error", listener: (error: Error) => void): unknown;
    start(): Promise<unknown>;
    stop(options: object): Promise<void>;
    createQueue(name: string): Promise<void>;
    send(name: string, data: Body): Promise<unknown>;
    insert(name: string, jobs: readonly { readonly data: Body }[]): Promise<unknown>;
    fetch(name: string, options: object): Promise<readonly { readonly id: string; readonly data: Body }[]>;
    complete(name: string, ids: readonly string[]): Promise<unknown>;
  };
}

const connections = 32;
const consumers = 8;
/** Its own way to poll waits half a second or more; this is as often as it can be asked without asking all the time. */
const pollMs = 5;

export const pgBoss: Peer = {
  name: "pg-boss",
  durability: "synced before the answer",
  missing: () => postgresMissing() ?? (hasPackage("pg-boss") ? undefined : "benchmarks/peers/install.sh postgres"),
  start: async (folder) => {
    await using parts = new AsyncDisposableStack();
    const postgres = parts.use(await startPostgres(folder));
    const { PgBoss } = await loadPackage<PgBossPackage>("pg-boss");
    const boss = new PgBoss({ connectionString: postgres.url, max: connections, schedule: false, supervise: false });
    let isOver = false;
    boss.on("error", ({ message }) => {
      if (!isOver) console.error(`pg-boss: ${message}`); // once the server has gone its connections complain
    });
    await boss.start();
    parts.defer(async () => {
      isOver = true;
      await boss.stop({ graceful: false, close: true });
    });
    await boss.createQueue("bench");
    const disposal = parts.move();
    return {
      pids: { postgres: postgres.pid },
      send: async (data) => void (await boss.send("bench", data)),
      sendMany: async (bodies) =>
        void (await boss.insert(
          "bench",
          bodies.map((data) => ({ data })),
        )),
      consume: ({ batch, isQuiet }, handle) =>
        Promise.resolve(
          repeatedly(isQuiet ? 1 : consumers, async () => {
            const jobs = await boss.fetch("bench", { batchSize: batch });
            if (jobs.length === 0) {
              await delay(pollMs);
              return true;
            }
            handle(jobs.map(({ data }) => data));
            await boss.complete(
              "bench",
              jobs.map(({ id }) => id),
            );
            return true;
          }),
        ),
      [Symbol.asyncDispose]: async () => await disposal.disposeAsync(),
    };
  },
};
