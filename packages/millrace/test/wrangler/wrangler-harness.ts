// The real wrangler of this repository, run against an API that listens.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import type { ChildProcessWithoutNullStreams } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { stripVTControlCharacters } from "node:util";
import { accountId, adminToken, ApiHarness } from "../api/api-harness.ts";

const require = createRequire(import.meta.url);
/** Another wrangler than this repository's can be tried: the one installed in the folder that this variable names. */
const wranglerManifest = require.resolve("wrangler/package.json", {
  paths: [process.env["WRANGLER_UNDER_TEST"] ?? import.meta.dirname],
});
/** Shown in failures: what is expected was recorded with one version. */
const wranglerVersion = (require(wranglerManifest) as { readonly version: string }).version;

/** A wrangler that hangs is stopped then; the slowest command takes a few seconds. */
const deadlineMs = 60_000;

export interface RunOptions {
  /** A project's folder; an empty one if absent. */
  readonly in?: string;
  readonly stdin?: string;
  readonly token?: string;
}

export interface WranglerRun {
  readonly code: number | null;
  /** Everything it wrote, without colours. */
  readonly output: string;
}

export class WranglerHarness implements AsyncDisposable {
  readonly api: ApiHarness;
  /** Requests so far, as `METHOD /path?query` below the account. */
  readonly requests: string[];
  readonly #folder: string;
  readonly #origin: string;

  private constructor(api: ApiHarness, folder: string, origin: string, requests: string[]) {
    this.api = api;
    this.#folder = folder;
    this.#origin = origin;
    this.requests = requests;
  }

  static async open(): Promise<WranglerHarness> {
    const api = await ApiHarness.open();
    const requests: string[] = [];
    api.api.server.addHook("onRequest", (request, _reply, done) => {
      const path = request.url.replace("/client/v4", "~").replace(`~/accounts/${accountId}`, "");
      requests.push(`${request.method} ${path}`);
      done();
    });
    const origin = await api.api.listen({ host: "127.0.0.1", port: 0 });
    const folder = await mkdtemp(join(tmpdir(), "millrace-wrangler-"));
    return new WranglerHarness(api, folder, origin, requests);
  }

  /** Writes a project's files; answers its folder. */
  async project(name: string, files: Readonly<Record<string, string | object>>): Promise<string> {
    const folder = join(this.#folder, name);
    for (const [path, content] of Object.entries(files)) {
      const file = join(folder, path);
      await mkdir(dirname(file), { recursive: true });
      await writeFile(file, typeof content === "string" ? content : JSON.stringify(content));
    }
    return folder;
  }

  /** A run that must succeed; answers what it wrote. */
  async must(command: string, options: RunOptions = {}): Promise<string> {
    const { code, output } = await this.run(command, options);
    assert.equal(code, 0, `wrangler ${wranglerVersion} ${command}:\n${output}`);
    return output;
  }

  /** A run that must fail; answers what it wrote. */
  async refused(command: string, options: RunOptions = {}): Promise<string> {
    const { code, output } = await this.run(command, options);
    assert.notEqual(code, 0, `wrangler ${wranglerVersion} ${command} was accepted:\n${output}`);
    return output;
  }

  async run(command: string, options: RunOptions = {}): Promise<WranglerRun> {
    const child = await this.start(command, options);
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8");
      stream.on("data", (text: string) => (output += text));
    }
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", resolve);
    });
    return { code, output: stripVTControlCharacters(output) };
  }

  /** Starts a command that runs until it is told to end. */
  async start(command: string, options: RunOptions = {}): Promise<ChildProcessWithoutNullStreams> {
    const cwd = options.in ?? (await this.project("nowhere", { "readme.txt": "" }));
    const script = join(dirname(wranglerManifest), "bin/wrangler.js");
    const child = spawn(process.execPath, [script, ...command.split(" ")], {
      cwd,
      env: {
        PATH: process.env["PATH"],
        HOME: this.#folder,
        XDG_CONFIG_HOME: this.#folder,
        CI: "1",
        NO_COLOR: "1",
        FORCE_COLOR: "0",
        // Without a banner nobody asks the registry for a newer version.
        WRANGLER_HIDE_BANNER: "true",
        WRANGLER_SEND_METRICS: "false",
        WRANGLER_LOG_PATH: this.#folder,
        CLOUDFLARE_API_BASE_URL: `${this.#origin}/client/v4`,
        CLOUDFLARE_API_TOKEN: options.token ?? adminToken,
        CLOUDFLARE_ACCOUNT_ID: accountId,
      },
      timeout: deadlineMs,
    });
    child.stdin.end(options.stdin ?? "");
    return child;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.api[Symbol.asyncDispose]();
    await rm(this.#folder, { recursive: true, force: true });
  }
}
