// Finds the wrangler a project has installed and starts it under the Node that runs this program.

import { spawn } from "node:child_process";
import type { ChildProcess, StdioOptions } from "node:child_process";
import { readFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { CommandFailure } from "../command-failure.ts";
import type { Target } from "../target.ts";

export interface ProjectWrangler {
  /** The JavaScript file of its command. */
  readonly bin: string;
  /** Its library, as a URL to import. */
  readonly library: string;
  readonly version: string;
}

/** The wrangler in `node_modules` of the folder or of one above it. Throws when there is none, saying how to install it. */
export async function findWrangler(from: string): Promise<ProjectWrangler> {
  for (let folder = resolve(from); ; folder = dirname(folder)) {
    const found = await readWrangler(join(folder, "node_modules", "wrangler"));
    if (found !== undefined) return found;
    if (dirname(folder) === folder) break;
  }
  throw new CommandFailure(
    `no wrangler is installed in ${from} or above it. Install it in the project: npm install --save-dev wrangler`,
  );
}

async function readWrangler(folder: string): Promise<ProjectWrangler | undefined> {
  let text: string;
  try {
    text = await readFile(join(folder, "package.json"), "utf8");
  } catch {
    return undefined; // not here
  }
  const { bin, main, version } = JSON.parse(text) as Manifest;
  const path = bin?.["wrangler"];
  if (path === undefined || main === undefined) return undefined;
  return { bin: join(folder, path), library: pathToFileURL(join(folder, main)).href, version: version ?? "?" };
}

interface Manifest {
  readonly bin?: Readonly<Record<string, string>>;
  readonly main?: string;
  readonly version?: string;
}

/** Variables of the surrounding shell that would lead wrangler to another account than the target's. */
const misleading = new Set([
  "CF_API_BASE_URL",
  "CF_API_TOKEN",
  "CF_ACCOUNT_ID",
  "CLOUDFLARE_API_KEY",
  "CLOUDFLARE_EMAIL",
]);

/** The environment that points wrangler at a server. */
export function wranglerEnvironment(
  target: Target & { readonly accountId: string },
  env: Readonly<Record<string, string | undefined>>,
): Record<string, string | undefined> {
  const { hostname } = new URL(target.api);
  const direct = ["localhost", "127.0.0.1", "::1", hostname.replaceAll(/[[\]]/g, "")];
  const noProxy = (env["no_proxy"] || env["NO_PROXY"] || "").split(",").filter((host) => host !== "");
  const bypass = [...new Set([...noProxy, ...direct])].join(",");
  return {
    ...Object.fromEntries(Object.entries(env).filter(([name]) => !misleading.has(name))),
    CLOUDFLARE_API_BASE_URL: target.api,
    CLOUDFLARE_API_TOKEN: target.token,
    CLOUDFLARE_ACCOUNT_ID: target.accountId,
    // A proxy for the world outside knows nothing of this server.
    no_proxy: bypass,
    NO_PROXY: bypass,
  };
}

export function startWrangler(
  wrangler: ProjectWrangler,
  args: readonly string[],
  options: { readonly cwd: string; readonly env: Record<string, string | undefined>; readonly stdio: StdioOptions },
): ChildProcess {
  return spawn(process.execPath, [wrangler.bin, ...args], options);
}

/** Waits for the end of a process; a signal that ended it counts as the exit code shells give it. */
export async function exitCodeOf(child: ChildProcess): Promise<number> {
  const { promise, resolve: done, reject } = Promise.withResolvers<number>();
  child.once("error", reject);
  child.once("close", (code, signal) => done(code ?? signalCodes[signal ?? ""] ?? 1));
  return await promise;
}

const signalCodes: Readonly<Record<string, number>> = { SIGHUP: 129, SIGINT: 130, SIGKILL: 137, SIGTERM: 143 };
