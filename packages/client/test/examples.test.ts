// The programs in the readme and the guide, run as they stand.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { soon, Watched } from "./support/deadline.ts";
import { pulled, RestServer } from "./support/rest-server.ts";

const entry = new URL("../src/index.ts", import.meta.url).href;

/** The programs of a page: what imports the client. */
function programsOf(page: string): readonly string[] {
  const text = readFileSync(new URL(`../../../${page}`, import.meta.url), "utf8");
  return [...text.matchAll(/^```[jt]s\n([^]*?)^```/gm)]
    .map(([, code = ""]) => code)
    .filter((code) => code.includes('from "@millrace/client"'));
}

class Program implements AsyncDisposable {
  readonly lines = new Watched<string>();
  readonly exit: Promise<number | null>;
  readonly #folder = mkdtempSync(join(tmpdir(), "millrace-example-"));
  readonly #process;

  constructor(code: string, server: RestServer) {
    const file = join(this.#folder, "example.mts");
    writeFileSync(file, code.replaceAll('"@millrace/client"', JSON.stringify(entry)));
    const { baseUrl, accountId, token } = server.options;
    this.#process = spawn(process.execPath, [file], {
      stdio: ["ignore", "pipe", "inherit"],
      env: {
        ...process.env,
        CLOUDFLARE_API_BASE_URL: baseUrl,
        CLOUDFLARE_ACCOUNT_ID: accountId,
        CLOUDFLARE_API_TOKEN: token,
      },
    });
    this.#process.stdout.setEncoding("utf8").on("data", (text: string) => {
      for (const line of text.split("\n")) if (line !== "") this.lines.push(line);
    });
    this.exit = new Promise((resolve) => void this.#process.once("close", resolve));
  }

  terminate(): void {
    this.#process.kill("SIGTERM");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.exit;
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

test("the readme's program sends, consumes and stops", async () => {
  const [code, ...others] = programsOf("packages/client/README.md");
  assert.ok(code !== undefined && others.length === 0);
  await using server = await RestServer.start();
  await using program = new Program(code, server);
  server.offer(pulled("1", { item: "tea" }));
  await program.lines.atLeast(1, "lines");
  assert.deepEqual(program.lines.items, ["{ item: 'tea' } 1"]);
  await server.settled.atLeast(1, "settled messages");
  program.terminate();
  assert.equal(await soon(program.exit, "the exit"), 0);
  assert.deepEqual(
    server.stored.map(({ body }) => body),
    [{ item: "tea", count: 2 }],
  );
});

test("the guide's producer sends and shows what is refused", async () => {
  const [code] = programsOf("docs/guides/client.md");
  assert.ok(code !== undefined);
  await using server = await RestServer.start();
  await using program = new Program(code, server);
  assert.equal(await soon(program.exit, "the exit"), 0);
  assert.deepEqual(program.lines.items, ["1 waiting", "MESSAGE_TOO_LARGE false"]);
  assert.deepEqual(
    server.stored.map(({ body, delay_seconds: delay }) => [(body as { item: string }).item, delay]),
    [
      ["tea", undefined],
      ["cake", 60],
      ["jam", undefined],
      ["milk", 5],
    ],
  );
});

test("the guide's consumer decides for each message, and stops on SIGTERM", async () => {
  const [, code, ...others] = programsOf("docs/guides/client.md");
  assert.ok(code !== undefined && others.length === 0);
  await using server = await RestServer.start();
  await using program = new Program(code, server);
  server.offer(pulled("1", { item: "tea" }), pulled("2", { item: "x" }, { body: "no base64!", attempts: 2 }));
  await server.settled.atLeast(2, "settled messages");
  program.terminate();
  assert.equal(await soon(program.exit, "the exit"), 0);
  assert.deepEqual(program.lines.items, ["packed tea"]);
  assert.deepEqual(server.settled.items, [
    { lease: "lease-1", verdict: "ack" },
    { lease: "lease-2", verdict: "retry after 60" },
  ]);
});
