// NATS JetStream with a stream on disk. Servers before 2.10 sync it every two minutes and cannot be told otherwise.

import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { hasPackage, loadPackage } from "./peer.ts";
import type { Body, Peer } from "./peer.ts";
import { findProgram, freePort, startProgram } from "./programs.ts";

interface Message {
  json(): Body;
  ack(): void;
}

interface Transport {
  readonly connect: (options: object) => Promise<{ close(): Promise<void> }>;
}

interface JetStreamPackage {
  readonly jetstream: (connection: object) => {
    publish(subject: string, data: string): Promise<unknown>;
    consumers: {
      get(
        stream: string,
        consumer: string,
      ): Promise<{
        consume(options: object): Promise<{ close(): Promise<unknown> }>;
      }>;
    };
  };
  readonly jetstreamManager: (connection: object) => Promise<{
    streams: { add(config: object): Promise<unknown> };
    consumers: { add(stream: string, config: object): Promise<unknown> };
  }>;
}

export const natsJetStream: Peer = {
  name: "NATS JetStream",
  durability: canSyncAlways() ? "synced before the answer" : "synced later",
  missing: () =>
    findProgram("nats-server") === undefined || !hasPackage("@nats-io/jetstream")
      ? "benchmarks/peers/install.sh nats"
      : undefined,
  start: async (folder) => {
    await using parts = new AsyncDisposableStack();
    const binary = findProgram("nats-server");
    if (binary === undefined) throw new Error("nats-server is not installed");
    const port = await freePort();
    const config = join(folder, "nats.conf");
    const sync = canSyncAlways() ? "sync_interval: always" : "";
    writeFileSync(config, `listen: "127.0.0.1:${port}"\njetstream { store_dir: "${folder}"\n${sync}\n}\n`);
    const program = parts.use(await startProgram({ binary, args: ["-c", config], port, folder }));
    const { connect } = await loadPackage<Transport>("@nats-io/transport-node");
    const { jetstream, jetstreamManager } = await loadPackage<JetStreamPackage>("@nats-io/jetstream");
    const connection = await connect({ servers: `127.0.0.1:${port}` });
    parts.defer(async () => await connection.close());
    const manager = await jetstreamManager(connection);
    await manager.streams.add({ name: "bench", subjects: ["bench"], storage: "file", retention: "workqueue" });
    await manager.consumers.add("bench", { durable_name: "bench", ack_policy: "explicit", max_ack_pending: 10_000 });
    const js = jetstream(connection);
    const send = async (body: Body): Promise<void> => void (await js.publish("bench", JSON.stringify(body)));
    const disposal = parts.move();
    return {
      pids: { nats: program.pid },
      send,
      sendMany: async (bodies) => void (await Promise.all(bodies.map(send))),
      consume: async (_how, handle) => {
        const consumer = await js.consumers.get("bench", "bench");
        const callback = (message: Message): void => {
          handle([message.json()]);
          message.ack();
        };
        const messages = await consumer.consume({ callback, max_messages: 1_000 });
        return { [Symbol.asyncDispose]: async () => void (await messages.close()) };
      },
      [Symbol.asyncDispose]: async () => await disposal.disposeAsync(),
    };
  },
};

function canSyncAlways(): boolean {
  const binary = findProgram("nats-server");
  if (binary === undefined) return true;
  const version = /(\d+)\.(\d+)/.exec(execFileSync(binary, ["--version"], { encoding: "utf8" }));
  return Number(version?.[1]) > 2 || Number(version?.[2]) >= 10;
}
