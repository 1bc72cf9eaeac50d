// A server's life as its log and its data folder tell it.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { MillraceError } from "../../src/core/index.ts";
import type { ServerSettings } from "../../src/config/index.ts";
import { cli, temporaryFolder } from "./cli-harness.ts";

interface Line {
  readonly event: string;
  readonly message?: string;
  readonly remedy?: string;
  readonly [field: string]: unknown;
}

const lines = (text: string): readonly Line[] =>
  text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Line);

test("from the first token to a clean stop", async () => {
  await using folder = await temporaryFolder();
  const data = join(folder.path, ".millrace");
  const given: ServerSettings[] = [];
  const { promise: closed, resolve: close } = Promise.withResolvers<void>();
  let announced = false;
  const serve = async (): ReturnType<typeof cli> =>
    await cli(["serve", "--port", "0"], {
      cwd: folder.path,
      env: { MILLRACE_PROT: "1" },
      onOutput: (text) => {
        if (!text.includes('"event":"ready"')) return;
        announced ||= existsSync(join(data, "server.json"));
        close();
      },
      startServer: async (settings) => {
        given.push(settings);
        const { accountId = "", apiToken: token = "" } = settings;
        const urls = {
          apiUrl: "http://127.0.0.1:1/client/v4",
          consoleUrl: "http://127.0.0.1:1/",
          workersUrl: "http://127.0.0.1:2",
        };
        return { ...urls, accountId, token, closed, stop: async () => undefined };
      },
    });

  const first = await serve();
  assert.equal(first.exitCode, 0, first.stderr);
  const log = lines(first.stdout);
  assert.deepEqual(
    log.map(({ event }) => event),
    ["setting.warning", "token.created", "ready", "server.stopped"],
  );
  const [warning, token, ready] = log;
  assert.match(warning?.message ?? "", /MILLRACE_PROT: .*Did you mean MILLRACE_PORT\?/);
  assert.equal(await readFile(join(data, "token"), "utf8"), `${String(token?.["token"])}\n`);
  assert.deepEqual(ready, {
    event: "ready",
    api: "http://127.0.0.1:1/client/v4",
    console: "http://127.0.0.1:1/",
    workers: "http://127.0.0.1:2",
    account_id: given[0]?.accountId,
    pid: process.pid,
  });
  assert.ok(announced);
  assert.ok(!existsSync(join(data, "server.json")));

  const again = await serve();
  assert.ok(!lines(again.stdout).some(({ event }) => event === "token.created"));
  assert.equal(given[1]?.accountId, given[0]?.accountId);
  assert.equal(given[1]?.apiToken, given[0]?.apiToken);
});

for (const [what, error, message] of [
  [
    "a taken port",
    Object.assign(new Error("listen"), { code: "EADDRINUSE", port: 8788, syscall: "listen" }),
    /Port 8788 is taken .*0 takes any free one/,
  ],
  [
    "data that is in use",
    new MillraceError("DATA_LOCKED", "The data folder is in use"),
    /in use \(DATA_LOCKED\)\. Stop the other server/,
  ],
  [
    "a file system's error",
    Object.assign(new Error("EROFS: read-only file system, open 'x'"), { code: "EROFS", syscall: "open" }),
    /^The data folder cannot be used: EROFS: read-only file system, open 'x'\. Make the data folder/,
  ],
] as const) {
  test(`${what} ends the start with words, and exit code 1`, async () => {
    await using folder = await temporaryFolder();
    const { exitCode, stdout } = await cli(["serve"], { cwd: folder.path, startServer: () => Promise.reject(error) });
    assert.equal(exitCode, 1);
    const failed = lines(stdout).find(({ event }) => event === "server.failed");
    assert.match([failed?.message, failed?.remedy].join(" ").trim(), message);
  });
}

test("a server that ends by itself is a failure", async () => {
  await using folder = await temporaryFolder();
  const { exitCode, stdout } = await cli(["serve"], {
    cwd: folder.path,
    startServer: async () => ({
      apiUrl: "http://127.0.0.1:1/client/v4",
      consoleUrl: "http://127.0.0.1:1/",
      workersUrl: "http://127.0.0.1:2",
      accountId: "a",
      token: "t",
      closed: Promise.reject(new MillraceError("DATA_DAMAGED", "A page cannot be read")),
      stop: async () => undefined,
    }),
  });
  assert.equal(exitCode, 1);
  assert.deepEqual(
    lines(stdout).map(({ event }) => event),
    ["token.created", "ready", "server.stopped", "server.failed"],
  );
});
