// Which server a command talks to: the one named by a flag, the one running on a data folder, or the one of the variables
// that wrangler reads too.

import { resolve } from "node:path";
import type { Command } from "commander";
import { findServerFile, readServerFile, settingTable } from "../config/index.ts";
import type { ServerFile } from "../config/index.ts";
import { CommandFailure, usageFailure } from "./command-failure.ts";
import type { Terminal } from "./terminal.ts";

export interface Target {
  /** Ends in `/client/v4`. */
  readonly api: string;
  readonly token: string;
  /** `undefined`: the first account the token can see. */
  readonly accountId: string | undefined;
}

export interface TargetOptions {
  readonly server?: string;
  readonly data?: string;
}

export function addTargetOptions(command: Command): Command {
  return command
    .option(
      "--data <folder>",
      "the data folder of a server on this machine (default: .millrace here or above; MILLRACE_DATA)",
    )
    .option("--server <url>", "a server elsewhere; its token comes from MILLRACE_API_TOKEN or CLOUDFLARE_API_TOKEN");
}

export type FoundTarget =
  | { readonly kind: "found"; readonly target: Target }
  /** No server is named and none runs on this machine's data folder. `leftBehind`: one was killed there. */
  | { readonly kind: "none"; readonly data: string; readonly leftBehind: boolean };

/** In this order: `--server`, `--data` or its variable, `CLOUDFLARE_API_BASE_URL`, the data folder here or above. */
export async function findTarget(options: TargetOptions, terminal: Terminal): Promise<FoundTarget> {
  const { env, cwd } = terminal;
  if (options.server !== undefined) {
    const local = await findServerFile(cwd);
    const own =
      local.kind === "running" && local.address.api === apiUrl(options.server, "--server") ? local : undefined;
    return own === undefined
      ? { kind: "found", target: named(options.server, "--server", env, "MILLRACE_API_TOKEN") }
      : fromFile(own, cwd);
  }
  const data = options.data ?? (env[settingTable.data.variable] || undefined);
  if (data !== undefined) return fromFile(await readServerFile(resolve(cwd, data)), resolve(cwd, data));
  const base = env["CLOUDFLARE_API_BASE_URL"] || env["CF_API_BASE_URL"];
  if (base) return { kind: "found", target: named(base, "CLOUDFLARE_API_BASE_URL", env, "CLOUDFLARE_API_TOKEN") };
  return fromFile(await findServerFile(cwd), resolve(cwd, ".millrace"));
}

/** As `findTarget`; throws when there is no server, saying how to start one. */
export async function requireTarget(options: TargetOptions, terminal: Terminal): Promise<Target> {
  const found = await findTarget(options, terminal);
  if (found.kind === "found") return found.target;
  const killed = found.leftBehind ? " (the last one did not stop cleanly; nothing it accepted is lost)" : "";
  throw new CommandFailure(`no server runs on ${found.data}${killed}. ${howToStart}`);
}

export const howToStart =
  "Start one with `millrace dev` in your project or with `millrace serve`, or name another with --server <url> or --data <folder>.";

function fromFile(file: ServerFile, data: string): FoundTarget {
  if (file.kind !== "running") return { kind: "none", data, leftBehind: file.kind === "stale" };
  const { api, token, account_id: accountId } = file.address;
  return { kind: "found", target: { api, token, accountId } };
}

function named(text: string, path: string, env: Terminal["env"], first: string): Target {
  const second = first === "MILLRACE_API_TOKEN" ? "CLOUDFLARE_API_TOKEN" : "MILLRACE_API_TOKEN";
  const api = apiUrl(text, path);
  const token = env[first] || env[second];
  if (!token) throw usageFailure(`${path} needs a token: set ${first}.`);
  const accountId = env["MILLRACE_ACCOUNT_ID"] || env["CLOUDFLARE_ACCOUNT_ID"] || undefined;
  return { api, token, accountId };
}

const apiPath = "/client/v4";

/** `http://host:port` and the full URL of the API both name a server. */
function apiUrl(text: string, path: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !["http:", "https:"].includes(url.protocol)) {
    throw usageFailure(`${path}: expected a URL such as http://127.0.0.1:8788, got ${JSON.stringify(text)}`);
  }
  const folder = url.pathname.replace(/\/+$/, "");
  return `${url.origin}${folder === "" ? apiPath : folder}`;
}
