// RabbitMQ with a quorum queue of one node: confirmed when it is in the synced write-ahead log.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { hasPackage, loadPackage } from "./peer.ts";
import type { Body, Peer } from "./peer.ts";
import { findProgram, freePort, newestFolder, startProgram } from "./programs.ts";

interface Channel {
  assertQueue(name: string, options: object): Promise<unknown>;
  prefetch(count: number): Promise<unknown>;
  sendToQueue(queue: string, content: Buffer, options: object, confirmed: (error: unknown) => void): boolean;
  consume(
    queue: string,
    handle: (message: { readonly content: Buffer } | null) => void,
  ): Promise<{ consumerTag: string }>;
  cancel(consumerTag: string): Promise<unknown>;
  ack(message: object): void;
}

interface Amqp {
  readonly connect: (url: string) => Promise<{
    createConfirmChannel(): Promise<Channel>;
    close(): Promise<void>;
  }>;
}

const prefetch = 1_000;

const serverScript = (): string | undefined => {
  const folder = newestFolder("/usr/lib/rabbitmq/lib", "rabbitmq_server-");
  return folder === undefined ? undefined : join(folder, "sbin/rabbitmq-server");
};

export const rabbitmq: Peer = {
  name: "RabbitMQ, quorum queue",
  durability: "synced before the answer",
  missing: () =>
    serverScript() === undefined || !hasPackage("amqplib") ? "benchmarks/peers/install.sh rabbitmq" : undefined,
  start: async (folder) => {
    await using parts = new AsyncDisposableStack();
    const binary = serverScript();
    const nameServer = findProgram("epmd");
    if (binary === undefined || nameServer === undefined) throw new Error("rabbitmq-server is not installed");
    const [port, nameServerPort] = [await freePort(), await freePort()];
    writeFileSync(join(folder, "rabbitmq.conf"), "loopback_users = none\n");
    writeFileSync(join(folder, "enabled_plugins"), "[].\n");
    const env = {
      HOME: folder, // for the cookie
      RABBITMQ_NODENAME: `bench${port}@localhost`,
      RABBITMQ_NODE_IP_ADDRESS: "127.0.0.1",
      RABBITMQ_NODE_PORT: `${port}`,
      RABBITMQ_DIST_PORT: `${await freePort()}`,
      RABBITMQ_MNESIA_BASE: join(folder, "mnesia"),
      RABBITMQ_LOG_BASE: join(folder, "log"),
      RABBITMQ_CONFIG_FILE: join(folder, "rabbitmq.conf"),
      RABBITMQ_ENABLED_PLUGINS_FILE: join(folder, "enabled_plugins"),
      ERL_EPMD_PORT: `${nameServerPort}`,
      ERL_EPMD_ADDRESS: "127.0.0.1",
    };
    // Erlang starts one where there is none, and leaves it behind for whatever runs next.
    parts.use(await startProgram({ binary: nameServer, args: [], env, port: nameServerPort, folder }));
    const program = parts.use(await startProgram({ binary, args: [], env, port, folder }));
    const { connect } = await loadPackage<Amqp>("amqplib");
    const connection = await connect(`amqp://guest:guest@127.0.0.1:${port}`);
    parts.defer(async () => await connection.close());
    const sending = await connection.createConfirmChannel();
    const receiving = await connection.createConfirmChannel();
    await sending.assertQueue("bench", { durable: true, arguments: { "x-queue-type": "quorum" } });
    await receiving.prefetch(prefetch);
    const send = async (body: Body): Promise<void> =>
      await new Promise((resolve, reject) => {
        const content = Buffer.from(JSON.stringify(body));
        sending.sendToQueue("bench", content, { persistent: true }, (error) => {
          if (error === null || error === undefined) resolve();
          else reject(error instanceof Error ? error : new Error("the broker did not confirm"));
        });
      });
    const disposal = parts.move();
    return {
      pids: { rabbitmq: program.pid },
      send,
      sendMany: async (bodies) => void (await Promise.all(bodies.map(send))),
      consume: async (_how, handle) => {
        const { consumerTag } = await receiving.consume("bench", (message) => {
          if (message === null) return;
          handle([JSON.parse(message.content.toString()) as Body]);
          receiving.ack(message);
        });
        return { [Symbol.asyncDispose]: async () => void (await receiving.cancel(consumerTag)) };
      },
      [Symbol.asyncDispose]: async () => await disposal.disposeAsync(),
    };
  },
};
