// A workerd of its own with the sending Worker, as a server would start it, and some broker behind its queue binding.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { join } from "node:path";
import type { HttpAddress } from "../../packages/millrace/src/cli/bench/http-connection.ts";
import { capnpText, embed } from "../../packages/millrace/src/worker-host/capnp-text.ts";
import type { CapnpValue } from "../../packages/millrace/src/worker-host/capnp-text.ts";
import { senderSource } from "../workers/sender.ts";

/** What takes the sends. */
export type Broker =
  /** A server on a unix socket. */
  | { readonly kind: "socket"; readonly path: string }
  /** The queue that newer workerds bring along: one Durable Object in SQLite on disk. */
  | { readonly kind: "built-in" };

export interface Workerd extends AsyncDisposable {
  readonly pid: number;
  /** Of the Worker's fetch handler. */
  readonly address: HttpAddress;
}

/** `folder` must not exist. `text` fills the messages up. */
export async function startSender(
  binary: string,
  folder: string,
  broker: Broker,
  text: string,
  compatibilityDate: string,
): Promise<Workerd> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await writeFile(join(folder, "index.js"), senderSource);
  await writeFile(join(folder, "config.capnp"), configOf(folder, broker, text, compatibilityDate));
  const child = spawn(binary, ["serve", "--experimental", "--control-fd=3", "config.capnp"], {
    cwd: folder,
    stdio: ["ignore", "inherit", "inherit", "pipe"],
  });
  const exited = once(child, "exit");
  const listening = new Promise<number>((resolve) => {
    createInterface({ input: child.stdio[3] as Readable }).on("line", (line) => {
      const message = JSON.parse(line) as { readonly event: string; readonly port: number };
      if (message.event === "listen") resolve(message.port);
    });
  });
  const early = exited.then(() => Promise.reject(new Error("workerd ended before it listened")));
  early.catch(() => undefined); // later it may end
  const port = await Promise.race([listening, early]);
  if (child.pid === undefined) throw new Error("workerd cannot be started");
  return {
    pid: child.pid,
    address: { host: "127.0.0.1", port },
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await exited;
    },
  };
}

function configOf(folder: string, broker: Broker, text: string, compatibilityDate: string): string {
  const value = {
    services: [
      {
        name: "user",
        worker: {
          modules: [{ name: "index.js", esModule: embed("index.js") }],
          compatibilityDate,
          bindings: [
            {
              name: "QUEUE",
              queue: broker.kind === "socket" ? "broker" : { name: "broker", props: { json: '{"queue":"work"}' } },
            },
            { name: "TEXT", text },
          ],
        },
      },
      ...brokerServices(folder, broker, compatibilityDate),
    ],
    sockets: [{ name: "http", address: "127.0.0.1:0", service: "user", http: {} }],
    // As Millrace starts its own.
    v8Flags: ["--max-semi-space-size=2", "--single-threaded-gc"],
  };
  return `using Workerd = import "/workerd/workerd.capnp";\nconst config :Workerd.Config = ${capnpText(value)};\n`;
}

function brokerServices(folder: string, broker: Broker, compatibilityDate: string): CapnpValue[] {
  if (broker.kind === "socket") return [{ name: "broker", external: { address: `unix:${broker.path}`, http: {} } }];
  return [
    { name: "disk", disk: { path: folder, writable: true } },
    {
      name: "broker",
      worker: {
        modules: [{ name: "queues.js", bundled: "/workerd/queues.js" }],
        compatibilityDate,
        compatibilityFlags: ["service_binding_extra_handlers"],
        bindings: [
          { name: "SHARD", durableObjectNamespace: "QueueShard" },
          { name: "CONSUMERS", json: "{}" },
        ],
        durableObjectNamespaces: [{ className: "QueueShard", uniqueKey: "benchmark", enableSql: true }],
        durableObjectStorage: { localDisk: "disk" },
      },
    },
  ];
}
