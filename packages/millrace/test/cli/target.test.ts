// Which server a command talks to, and what it says when there is none.
import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { announceServer } from "../../src/config/index.ts";
import { accountId, adminToken } from "../api/api-harness.ts";
import { cli, startApiServer, temporaryFolder } from "./cli-harness.ts";

async function announce(data: string, url: string): Promise<void> {
  await mkdir(data, { recursive: true });
  const api = `${url}/client/v4`;
  const address = { api, console: `${url}/`, workers: url, account_id: accountId, token: adminToken };
  await announceServer(data, { ...address, pid: process.pid });
}

test("the server of the data folder here, above, or named", async () => {
  await using server = await startApiServer();
  await using folder = await temporaryFolder();
  const deep = join(folder.path, "src");
  const elsewhere = join(folder.path, "elsewhere", "data");
  await mkdir(deep);
  await announce(join(folder.path, ".millrace"), server.url);
  await announce(elsewhere, server.url);
  await using empty = await temporaryFolder();
  for (const [args, cwd, env] of [
    [[], folder.path, {}],
    [[], deep, {}],
    [["--data", elsewhere], empty.path, {}],
    [[], empty.path, { MILLRACE_DATA: elsewhere }],
    [["--server", server.url], folder.path, {}], // its token is in the folder
    [["--server", server.url], empty.path, { MILLRACE_API_TOKEN: adminToken }], // its account is asked for
    [["--server", `${server.url}/client/v4/`], empty.path, { CLOUDFLARE_API_TOKEN: adminToken }],
    [[], empty.path, server.env],
  ] as const) {
    const { exitCode, stderr } = await cli(["queues", "list", ...args], { cwd, env });
    assert.equal(exitCode, 0, `${args.join(" ")} ${JSON.stringify(env)}: ${stderr}`);
  }
});

test("a named folder wins over the variables of another server", async () => {
  await using folder = await temporaryFolder();
  const env = { CLOUDFLARE_API_BASE_URL: "http://127.0.0.1:9/client/v4", CLOUDFLARE_API_TOKEN: "x" };
  const { stderr } = await cli(["queues", "list", "--data", folder.path], { cwd: folder.path, env });
  assert.match(stderr, /no server runs on/);
});

test("a token of Cloudflare's own is never sent to a server that was not named for it", async () => {
  await using folder = await temporaryFolder();
  const { exitCode, stderr } = await cli(["queues", "list"], { cwd: folder.path, env: { CLOUDFLARE_API_TOKEN: "x" } });
  assert.equal(exitCode, 1);
  assert.match(stderr, /no server runs on .*\.millrace\. Start one with `millrace dev`/);
});

test("a server that does not answer is told with the way to start one", async () => {
  await using folder = await temporaryFolder();
  let url: string;
  {
    await using server = await startApiServer();
    ({ url } = server);
  }
  await announce(join(folder.path, ".millrace"), url);
  const { exitCode, stderr } = await cli(["queues", "list"], { cwd: folder.path });
  assert.equal(exitCode, 1);
  assert.match(stderr, /cannot reach http:\/\/127\.0\.0\.1:\d+: nothing answers there\. Start one with `millrace dev`/);
});

test("what is no URL, or comes without a token, is a wrong call", async () => {
  await using folder = await temporaryFolder();
  const wrong = await cli(["queues", "list", "--server", "localhost:8788"], { cwd: folder.path });
  assert.equal(wrong.exitCode, 2);
  assert.match(wrong.stderr, /--server: expected a URL such as/);
  const tokenless = await cli(["queues", "list", "--server", "http://localhost:8788"], { cwd: folder.path });
  assert.equal(tokenless.exitCode, 2);
  assert.match(tokenless.stderr, /needs a token: set MILLRACE_API_TOKEN/);
});
