// Runs command lines in this process, against the real REST API over the reference engine.

import { EventEmitter } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { run } from "../../src/cli/index.ts";
import type { StartServer, Terminal } from "../../src/cli/index.ts";
import { accountId, adminToken, ApiHarness } from "../api/api-harness.ts";
import type { HarnessOptions } from "../api/api-harness.ts";

export interface CliResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CliOptions {
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin?: string | TerminalKeys;
  readonly startServer?: StartServer;
  /** Called with everything the command has written so far, whenever it writes. */
  readonly onOutput?: (text: string) => void;
}

/** The environment of a user whose shell knows nothing of Millrace or Cloudflare. */
export const plainEnvironment: Readonly<Record<string, string>> = Object.fromEntries(
  Object.entries(process.env).filter(
    (entry): entry is [string, string] => entry[1] !== undefined && !/^(?:MILLRACE_|CLOUDFLARE_|CF_)/.test(entry[0]),
  ),
);

/** Runs a command line; never throws. */
export async function cli(args: readonly string[], options: CliOptions): Promise<CliResult> {
  let stdout = "";
  let stderr = "";
  const { stdin = "" } = options;
  const keys = typeof stdin === "string" ? undefined : stdin;
  const terminal: Terminal = {
    stdin: keys ?? Readable.from(typeof stdin === "string" && stdin !== "" ? [Buffer.from(stdin)] : []),
    stdout: {
      isTTY: keys !== undefined,
      write: (text) => {
        stdout += text;
        options.onOutput?.(stdout);
      },
    },
    stderr: { write: (text) => (stderr += text) },
    env: { ...plainEnvironment, NO_COLOR: "1", ...options.env },
    cwd: options.cwd,
  };
  const startServer = options.startServer ?? noServer;
  const exitCode = await run(args, { startServer, version: "1.2.3", terminal });
  return { exitCode, stdout, stderr };
}

const noServer: StartServer = () => Promise.reject(new Error("this test starts no server"));

/** A terminal's keyboard. */
export class TerminalKeys extends EventEmitter implements AsyncIterable<Uint8Array> {
  readonly isTTY = true;
  /** Whether keys arrive one by one. */
  raw = false;

  setRawMode(on: boolean): void {
    this.raw = on;
  }

  resume(): void {
    // Nothing is read before somebody listens.
  }

  pause(): void {
    // As above.
  }

  press(key: string): void {
    this.emit("data", Buffer.from(key));
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    // No command reads lines from a terminal.
  }
}

/** An empty folder of its own. */
export async function temporaryFolder(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), "millrace-cli-"));
  return { path, [Symbol.asyncDispose]: async () => await rm(path, { recursive: true, force: true, maxRetries: 3 }) };
}

/** A server as the commands see it: the real API on a real port. */
export interface ApiServer extends AsyncDisposable {
  readonly harness: ApiHarness;
  readonly url: string;
  /** What points a command at it. */
  readonly env: Readonly<Record<string, string>>;
}

export async function startApiServer(options: HarnessOptions = {}): Promise<ApiServer> {
  const harness = await ApiHarness.open(options);
  const url = await harness.api.listen({ host: "127.0.0.1", port: 0 });
  return {
    harness,
    url,
    env: {
      CLOUDFLARE_API_BASE_URL: `${url}/client/v4`,
      CLOUDFLARE_API_TOKEN: adminToken,
      CLOUDFLARE_ACCOUNT_ID: accountId,
    },
    [Symbol.asyncDispose]: async () => await harness[Symbol.asyncDispose](),
  };
}

/** For commands that start a server themselves. The harness of the last one started is in `started`. */
export function apiStarter(): { readonly startServer: StartServer; readonly started: ApiHarness[] } {
  const started: ApiHarness[] = [];
  return {
    started,
    startServer: async () => {
      const { harness, url } = await startApiServer();
      started.push(harness);
      const { promise: closed, resolve } = Promise.withResolvers<void>();
      return {
        apiUrl: `${url}/client/v4`,
        consoleUrl: `${url}/`,
        workersUrl: "http://127.0.0.1:8787",
        accountId,
        token: adminToken,
        closed,
        stop: async () => {
          await harness[Symbol.asyncDispose]();
          resolve();
        },
      };
    },
  };
}
