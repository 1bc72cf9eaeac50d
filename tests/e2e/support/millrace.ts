// The real server as a child process, driven by its command line; its log is what the tests wait on.

import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { Signals, within } from "./deadline.ts";

export const millraceBin = fileURLToPath(new URL("../../../packages/millrace/bin/millrace.js", import.meta.url));
const wranglerBin = fileURLToPath(new URL("../../../node_modules/wrangler/bin/wrangler.js", import.meta.url));

/** One line of the server's log. */
export interface LogEvent {
  readonly event: string;
  readonly [field: string]: unknown;
}

export interface Ready {
  readonly api: string;
  readonly console: string;
  readonly workers: string;
  readonly account_id: string;
  readonly pid: number;
}

export interface CommandResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export const token = "e2e-token-0123456789-0123456789-0123456789";

/** A folder of its own, gone at the end. */
export async function temporaryFolder(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), "millrace-e2e-"));
  return { path, [Symbol.asyncDispose]: async () => await rm(path, { recursive: true, force: true, maxRetries: 5 }) };
}

export class Server implements AsyncDisposable {
  readonly events = new Signals<LogEvent>();
  readonly data: string;
  readonly ready: Ready;
  readonly #child: ChildProcess;
  readonly #exited: Promise<unknown>;

  private constructor(
    data: string,
    child: ChildProcess,
    events: Signals<LogEvent>,
    ready: Ready,
    exited: Promise<unknown>,
  ) {
    this.data = data;
    this.#child = child;
    this.events = events;
    this.ready = ready;
    this.#exited = exited;
  }

  /** Starts on free ports, or on those of an earlier run, and waits for the readiness event. */
  static async start(data: string, ports: { readonly api?: number; readonly workers?: number } = {}): Promise<Server> {
    const child = spawn(
      process.execPath,
      [
        millraceBin,
        "serve",
        "--data",
        data,
        "--port",
        String(ports.api ?? 0),
        "--worker-port",
        String(ports.workers ?? 0),
        "--log-format",
        "json",
      ],
      { env: { ...process.env, MILLRACE_API_TOKEN: token }, stdio: ["ignore", "pipe", "pipe"] },
    );
    const exited = once(child, "exit");
    const events = new Signals<LogEvent>();
    let stderr = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr = (stderr + text).slice(-10_000)));
    createInterface({ input: child.stdout }).on("line", (line) => events.push(parseLine(line)));
    const ready = events.until("the server is ready", (all) => all.find(({ event }) => event === "ready"));
    const found = await Promise.race([
      ready,
      exited.then(() => {
        throw new Error(
          `the server ended before it was ready:\n${events.all.map((each) => JSON.stringify(each)).join("\n")}\n${stderr}`,
        );
      }),
    ]);
    return new Server(data, child, events, found as unknown as Ready, exited);
  }

  get ports(): { readonly api: number; readonly workers: number } {
    return { api: Number(new URL(this.ready.api).port), workers: Number(new URL(this.ready.workers).port) };
  }

  /** The first event of that name whose fields pass. */
  async event(name: string, passes: (event: LogEvent) => boolean = () => true): Promise<LogEvent> {
    return await this.events.until(`event ${name}`, (all) => all.find((each) => each.event === name && passes(each)));
  }

  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#exited;
  }

  /** Stops cleanly; answers the exit code. */
  async stop(): Promise<number | null> {
    this.#child.kill("SIGTERM");
    await within("the server stops", this.#exited);
    return this.#child.exitCode;
  }

  /** Waits until it ends by itself; answers the exit code. */
  async exitCode(): Promise<number | null> {
    await within("the server ends", this.#exited);
    return this.#child.exitCode;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) await this.stop();
  }

  /** A REST call below the account; answers status and envelope. */
  async api(
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<{ status: number; body: Envelope }> {
    const response = await fetch(`${this.ready.api}/accounts/${this.ready.account_id}${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, ...headers },
      ...(body !== undefined && { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
    return { status: response.status, body: (await response.json()) as Envelope };
  }

  /** A call that must succeed; answers its result. */
  async result<T = unknown>(method: string, path: string, body?: unknown): Promise<T> {
    const answer = await this.api(method, path, body);
    if (!answer.body.success)
      throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body.errors)}`);
    return answer.body.result as T;
  }

  async queueId(name: string): Promise<string> {
    const [queue] = await this.result<{ queue_id: string }[]>("GET", `/queues?name=${name}`);
    if (queue === undefined) throw new Error(`no queue ${name}`);
    return queue.queue_id;
  }

  /** Real wrangler with nothing but the three variables set. */
  async wrangler(cwd: string, ...args: readonly string[]): Promise<CommandResult> {
    return await command([wranglerBin, ...args], cwd, {
      CLOUDFLARE_API_BASE_URL: this.ready.api,
      CLOUDFLARE_API_TOKEN: token,
      CLOUDFLARE_ACCOUNT_ID: this.ready.account_id,
      WRANGLER_SEND_METRICS: "false",
      CI: "1",
    });
  }

  /** Millrace's own commands in the data folder's project. */
  async millrace(cwd: string, ...args: readonly string[]): Promise<CommandResult> {
    return await command([millraceBin, ...args, "--data", this.data], cwd, {});
  }

  /** A request to the only hosted Worker. */
  async worker(path: string, init: RequestInit = {}): Promise<Response> {
    return await fetch(new URL(path, this.ready.workers), init);
  }
}

export interface Envelope {
  readonly success: boolean;
  readonly errors: readonly { readonly code: number; readonly message: string }[];
  readonly result: unknown;
}

/** Runs a JavaScript program under this Node to its end. */
export async function command(
  args: readonly string[],
  cwd: string,
  env: Record<string, string>,
): Promise<CommandResult> {
  const child = spawn(process.execPath, args, {
    cwd,
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const [code] = (await within(args.join(" "), once(child, "close"), 120_000)) as [number | null];
  return { code, stdout, stderr };
}

function parseLine(line: string): LogEvent {
  try {
    const parsed: unknown = JSON.parse(line);
    if (typeof parsed === "object" && parsed !== null && "event" in parsed) return parsed as LogEvent;
  } catch {
    // not JSON: shown as it came
  }
  return { event: "unreadable", line };
}
