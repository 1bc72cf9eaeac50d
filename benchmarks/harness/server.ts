// A real server in a process of its own, as `millrace serve` starts it, with the steps that benchmarks need.

import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { openSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { HttpAddress } from "../../packages/millrace/src/cli/bench/http-connection.ts";
import { requestText } from "../../packages/millrace/src/cli/bench/http-load.ts";
import { readServerFile } from "../../packages/millrace/src/config/index.ts";
import type { ServerAddress } from "../../packages/millrace/src/config/index.ts";

const bin = fileURLToPath(new URL("../../packages/millrace/bin/millrace.js", import.meta.url));
const readyWithinMs = 60_000;
const pollMs = 5;
const drainPollMs = 10;
const mostDrainPollMs = 500;

export interface ServerOptions {
  /** CPU profiles of its threads are written here when it stops. */
  readonly profile?: string | undefined;
}

export interface WorkerScript {
  readonly name: string;
  readonly source: string;
  /** Queues by the name of the binding. */
  readonly queues?: Readonly<Record<string, string>>;
  readonly texts?: Readonly<Record<string, string>>;
}

/** A queue made for a benchmark. */
export interface BenchQueue {
  readonly id: string;
  readonly name: string;
}

export class MillraceServer implements AsyncDisposable {
  readonly pid: number;
  /** From the start of the process until it said where it is. */
  readonly readyMs: number;
  readonly data: string;
  readonly #child: ChildProcess;
  readonly #address: ServerAddress;

  private constructor(child: ChildProcess, address: ServerAddress, data: string, readyMs: number) {
    this.#child = child;
    this.#address = address;
    this.pid = address.pid;
    this.data = data;
    this.readyMs = readyMs;
  }

  /** With every setting as users have it, but for the ports. The log goes to a file beside the data. */
  static async start(data: string, options: ServerOptions = {}): Promise<MillraceServer> {
    const log = `${data}.log`;
    const output = openSync(log, "a", 0o600);
    const profiling = options.profile === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${options.profile}`];
    const startedAt = performance.now();
    const child = spawn(
      process.execPath,
      [...profiling, bin, "serve", "--data", data, "--port", "0", "--worker-port", "0", "--log-format", "json"],
      { stdio: ["ignore", output, output] },
    );
    const deadline = startedAt + readyWithinMs;
    for (;;) {
      const found = await readServerFile(data);
      if (found.kind === "running" && found.address.pid === child.pid) {
        return new MillraceServer(child, found.address, data, performance.now() - startedAt);
      }
      if (child.exitCode !== null || performance.now() > deadline) {
        child.kill("SIGKILL");
        throw new Error(`the server did not become ready:\n${(await readFile(log, "utf8")).slice(-2_000)}`);
      }
      await delay(pollMs);
    }
  }

  /** Of the REST API. */
  get address(): HttpAddress {
    const { hostname, port } = new URL(this.#address.api);
    return { host: hostname, port: Number(port) };
  }

  get host(): string {
    return new URL(this.#address.api).host;
  }

  get headers(): Readonly<Record<string, string>> {
    return { Authorization: `Bearer ${this.#address.token}`, "Content-Type": "application/json" };
  }

  /** For `createClient` of the client package. */
  get clientOptions(): { readonly baseUrl: string; readonly accountId: string; readonly token: string } {
    const { api, account_id, token } = this.#address;
    return { baseUrl: api, accountId: account_id, token };
  }

  /** Where all Workers answer, by the name in the request. */
  get sharedAddress(): HttpAddress {
    return { host: "127.0.0.1", port: Number(new URL(this.#address.workers).port) };
  }

  get sharedUrl(): string {
    return `http://127.0.0.1:${new URL(this.#address.workers).port}`;
  }

  /** The path of a queue's messages. */
  messagesPath({ id }: BenchQueue): string {
    return `${this.#accountPath}/queues/${id}/messages`;
  }

  /** A request to the API as text, for loads. */
  requestText(method: string, path: string, body?: string): string {
    return requestText({ method, path, host: this.host, headers: this.headers, body });
  }

  async call<T>(method: string, path: string, body?: unknown): Promise<T> {
    const isForm = body instanceof FormData;
    const response = await fetch(`${new URL(this.#address.api).origin}${this.#accountPath}${path}`, {
      method,
      headers: isForm ? { authorization: this.headers["Authorization"] ?? "" } : { ...this.headers },
      ...(body !== undefined && { body: isForm ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return (JSON.parse(text) as { readonly result: T }).result;
  }

  async createQueue(name: string): Promise<BenchQueue> {
    const { queue_id: id } = await this.call<{ readonly queue_id: string }>("POST", "/queues", { queue_name: name });
    return { id, name };
  }

  async pullable({ id }: BenchQueue): Promise<void> {
    await this.call("POST", `/queues/${id}/consumers`, { type: "http_pull", settings: { batch_size: 100 } });
  }

  async pause({ id }: BenchQueue, paused: boolean): Promise<void> {
    await this.call("PATCH", `/queues/${id}`, { settings: { delivery_paused: paused } });
  }

  async backlog({ id }: BenchQueue): Promise<number> {
    return (await this.call<{ readonly backlog_count: number }>("GET", `/queues/${id}/metrics`)).backlog_count;
  }

  /**
   * Waits until nothing is left. It asks rarely while there is much, each time when about half of it should be gone, since answering
   * takes time from the work that is measured; at the end every 10 ms.
   */
  async drained(queue: BenchQueue): Promise<void> {
    const startedAt = performance.now();
    const first = await this.backlog(queue);
    for (let left = first; left > 0; left = await this.backlog(queue)) {
      const msPerMessage = (performance.now() - startedAt) / Math.max(1, first - left);
      const halfMs = first === left ? 0 : (left * msPerMessage) / 2;
      await delay(Math.min(mostDrainPollMs, Math.max(drainPollMs, halfMs)));
    }
  }

  /** Deploys a Worker and waits until it runs. */
  async deploy({ name, source, queues = {}, texts = {} }: WorkerScript): Promise<void> {
    const form = new FormData();
    const bindings = [
      ...Object.entries(queues).map(([binding, queue]) => ({ type: "queue", name: binding, queue_name: queue })),
      ...Object.entries(texts).map(([binding, text]) => ({ type: "plain_text", name: binding, text })),
    ];
    const metadata = { main_module: "index.js", compatibility_date: "2026-10-01", bindings };
    form.set("metadata", JSON.stringify(metadata));
    form.set("index.js", new File([source], "index.js", { type: "application/javascript+module" }));
    await this.call("PUT", `/workers/scripts/${name}`, form);
    while ((await this.worker(name)).state !== "ready") await delay(pollMs);
  }

  async worker(name: string): Promise<{ readonly state: string; readonly pid?: number }> {
    return await this.call("GET", `/millrace/workers/${name}`);
  }

  async consumeBy(queue: BenchQueue, worker: string, batch: number, concurrency: number | null): Promise<void> {
    await this.call("POST", `/queues/${queue.id}/consumers`, {
      type: "worker",
      script_name: worker,
      settings: { batch_size: batch, max_concurrency: concurrency, max_wait_time_ms: 0, max_retries: 3 },
    });
  }

  /** Gives a Worker a port that its workerd listens on itself: the way in without a router. */
  async ownAddress(worker: string): Promise<HttpAddress> {
    const { pid: before } = await this.worker(worker);
    const { listen } = await this.call<{ readonly listen: { readonly host: string; readonly port: number } }>(
      "PUT",
      `/millrace/workers/${worker}/listen`,
      { port: 0 },
    );
    // A process that has the port takes the place of the one before.
    for (;;) {
      const { state, pid } = await this.worker(worker);
      if (state === "ready" && pid !== before) return { host: listen.host, port: listen.port };
      await delay(pollMs);
    }
  }

  /** Drains and ends it. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, "exit");
    this.#child.kill("SIGTERM");
    await exited;
  }

  get #accountPath(): string {
    return `${new URL(this.#address.api).pathname}/accounts/${this.#address.account_id}`;
  }
}
