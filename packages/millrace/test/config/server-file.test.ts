// How commands in the same folder find the running server.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdir, mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { announceServer, findServerFile, readServerFile } from "../../src/config/index.ts";
import type { ServerAddress } from "../../src/config/index.ts";

const address = (pid: number): ServerAddress => ({
  pid,
  api: "http://127.0.0.1:8788/client/v4",
  console: "http://127.0.0.1:8788/",
  workers: "http://127.0.0.1:8787",
  account_id: "a".repeat(32),
  token: "secret",
});

async function project(): Promise<AsyncDisposable & { readonly path: string; readonly data: string }> {
  const path = await mkdtemp(join(tmpdir(), "millrace-project-"));
  const data = join(path, ".millrace");
  await mkdir(data);
  return { path, data, [Symbol.asyncDispose]: async () => await rm(path, { recursive: true, force: true }) };
}

/** The pid of a process that has ended. */
const endedPid = (): number => spawnSync(process.execPath, ["--version"]).pid;

test("a running server is found, privately, until it stops", async () => {
  await using folder = await project();
  assert.equal((await readServerFile(folder.data)).kind, "none");
  {
    await using announced = await announceServer(folder.data, address(process.pid));
    assert.ok(announced);
    const found = await readServerFile(folder.data);
    assert.ok(found.kind === "running");
    assert.deepEqual(found.address, address(process.pid));
    if (process.platform !== "win32") assert.equal((await stat(found.file)).mode & 0o777, 0o600);
  }
  assert.equal((await readServerFile(folder.data)).kind, "none");
});

test("one that was killed left a stale file", async () => {
  await using folder = await project();
  await announceServer(folder.data, address(endedPid()));
  assert.equal((await readServerFile(folder.data)).kind, "stale");
});

test("a server that stops leaves the file of the one after it alone", async () => {
  await using folder = await project();
  const old = await announceServer(folder.data, address(endedPid()));
  await announceServer(folder.data, address(process.pid));
  await old[Symbol.asyncDispose]();
  assert.equal((await readServerFile(folder.data)).kind, "running");
});

test("it is found from the folders inside the project", async () => {
  await using folder = await project();
  await announceServer(folder.data, address(process.pid));
  const deep = join(folder.path, "src", "handlers");
  await mkdir(deep, { recursive: true });
  assert.equal((await findServerFile(deep)).kind, "running");
});

test("what is no address is no server", async () => {
  await using folder = await project();
  for (const text of ["", "{", "[]", '{"pid":0}', '{"pid":1,"api":"x"}']) {
    await writeFile(join(folder.data, "server.json"), text);
    assert.equal((await readServerFile(folder.data)).kind, "none", text);
  }
});
