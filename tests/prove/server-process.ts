// One process of the real server, from its start to its end, however that comes.

import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Writable } from "node:stream";
import { millrace } from "./programs.ts";

export const token = "prove-token-0123456789-0123456789-0123456789";

/** One line of the server's log. */
export type LogLine = { readonly event: string; readonly [field: string]: unknown };

/** Where a server is. */
export interface Addresses {
  readonly api: string;
  readonly workers: string;
  readonly account: string;
}

export interface ServerProcessOptions {
  readonly data: string;
  /** Takes everything the server writes. */
  readonly log: Writable;
  readonly onEvent: (line: LogLine) => void;
}

export class ServerProcess {
  readonly pid: number;
  /** Rejects when it ends before it is ready. */
  readonly ready: Promise<Addresses>;
  /** Resolves when it has ended and its log is read to the end: how. */
  readonly ended: Promise<string>;
  readonly #child: ChildProcess;

  constructor({ data, log, onEvent }: ServerProcessOptions) {
    const ready = Promise.withResolvers<Addresses>();
    const settings = {
      "--data": data,
      "--port": "0",
      "--worker-port": "0",
      "--default-worker": "prove-producer",
      "--log-format": "json",
      "--log-level": "debug",
    };
    const child = spawn(process.execPath, [millrace, "serve", ...Object.entries(settings).flat()], {
      env: { ...process.env, MILLRACE_API_TOKEN: token },
      stdio: ["ignore", "pipe", "pipe"],
    });
    if (child.pid === undefined) throw new Error("the server cannot be started");
    this.#child = child;
    this.pid = child.pid;
    this.ready = ready.promise;
    child.stderr.on("data", (bytes: Buffer) => log.write(bytes));
    createInterface({ input: child.stdout }).on("line", (line) => {
      log.write(`${line}\n`);
      const event = parseLine(line);
      if (event === undefined) return;
      if (event.event === "ready") ready.resolve(addressesOf(event));
      onEvent(event);
    });
    this.ended = once(child, "close").then(([code, signal]: unknown[]) => {
      const how = typeof signal === "string" ? signal : `code ${String(code)}`;
      ready.reject(new Error(`the server ended before it was ready (${how})`));
      return how;
    });
    ready.promise.catch(() => undefined); // whoever waits for it hears of it
  }

  get hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }
}

/** Lines that matter are few: the others are not even parsed. */
const wanted = /"event":"(?:ready|batch\.\w+|worker\.ready|message\.deadLettered|server\.draining)"/;

function parseLine(line: string): LogLine | undefined {
  if (!wanted.test(line)) return undefined;
  return JSON.parse(line) as LogLine;
}

function addressesOf(line: LogLine): Addresses {
  return { api: String(line["api"]), workers: String(line["workers"]), account: String(line["account_id"]) };
}
