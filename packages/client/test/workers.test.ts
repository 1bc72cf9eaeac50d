// The client inside a Worker, in the real runtime: the sources as they are, without their types.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { stripTypeScriptTypes } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { findWorkerd } from "../../millrace/src/worker-host/workerd-binary.ts";
import { soon } from "./support/deadline.ts";
import { pulled, RestServer } from "./support/rest-server.ts";

/** Sends, takes what the server offers, and answers what it saw. */
const workerSource = `
import { consume, createClient } from "./index.ts";

export default {
  async fetch(request) {
    const queue = createClient(await request.json()).queue("orders");
    const sent = await Promise.all([queue.send({ n: 1 }), queue.send("two", { contentType: "text" }), queue.send(3)]);
    const bytes = await queue.send(new Uint8Array(1), { contentType: "bytes" }).catch(({ code }) => code);
    const bodies = [];
    const stop = new AbortController();
    const consumer = consume(
      queue,
      ({ queue: name, messages }) => {
        for (const message of messages) {
          bodies.push([name, message.body, message.attempts]);
          if (message.id === "2") message.retry({ delaySeconds: 9 });
        }
        stop.abort();
      },
      { signal: stop.signal },
    );
    await consumer.finished;
    return Response.json({ backlog: sent.map(({ metadata }) => metadata.metrics.backlogCount), bytes, bodies });
  },
};
`;

class Workerd implements AsyncDisposable {
  readonly url: Promise<string>;
  readonly #folder = mkdtempSync(join(tmpdir(), "millrace-client-"));
  readonly #process;

  constructor() {
    const sources = fileURLToPath(new URL("../src/", import.meta.url));
    const names = readdirSync(sources).filter((name) => name.endsWith(".ts"));
    for (const name of names) {
      writeFileSync(join(this.#folder, name), stripTypeScriptTypes(readFileSync(join(sources, name), "utf8")));
    }
    writeFileSync(join(this.#folder, "worker.js"), workerSource);
    const modules = ["worker.js", ...names].map((name) => `(name = "${name}", esModule = embed "${name}")`);
    const { path, newestCompatibilityDate } = findWorkerd();
    writeFileSync(
      join(this.#folder, "config.capnp"),
      `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "worker", worker = (
      modules = [${modules.join(", ")}],
      compatibilityDate = "${newestCompatibilityDate}",
      globalOutbound = "network",
    )),
    (name = "network", network = (allow = ["local"])),
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "worker")],
);
`,
    );
    this.#process = spawn(path, ["serve", "--control-fd=3", join(this.#folder, "config.capnp")], {
      stdio: ["ignore", "inherit", "inherit", "pipe"],
    });
    this.url = this.#listening(this.#process.stdio[3] as Readable);
  }

  async #listening(control: Readable): Promise<string> {
    for await (const line of createInterface({ input: control })) {
      const told = JSON.parse(line) as { readonly event: string; readonly port?: number };
      if (told.event === "listen") return `http://127.0.0.1:${told.port}/`;
    }
    throw new Error("workerd ended before it listened");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = new Promise((resolve) => this.#process.once("exit", resolve));
    if (this.#process.exitCode === null && this.#process.kill()) await soon(ended, "the end of workerd");
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

test("the client sends and consumes inside a Worker", async () => {
  await using server = await RestServer.start();
  await using workerd = new Workerd();
  server.offer(pulled("1", { from: "json" }), pulled("2", { from: "again" }, { attempts: 4 }));
  const url = await soon(workerd.url, "workerd listening");
  const response = await soon(
    fetch(url, { method: "POST", body: JSON.stringify(server.options) }),
    "the Worker's answer",
  );
  assert.equal(response.status, 200);
  assert.deepEqual(await response.json(), {
    backlog: [1, 3, 3],
    bytes: "CONTENT_TYPE_UNSUPPORTED",
    bodies: [
      ["orders", { from: "json" }, 1],
      ["orders", { from: "again" }, 4],
    ],
  });
  assert.deepEqual(
    server.stored.map(({ body }) => body),
    [{ n: 1 }, "two", 3],
  );
  assert.deepEqual(server.settled.items, [
    { lease: "lease-1", verdict: "ack" },
    { lease: "lease-2", verdict: "retry after 9" },
  ]);
});
