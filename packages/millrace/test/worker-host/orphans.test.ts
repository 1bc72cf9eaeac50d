// A server that is killed leaves no process and no folder behind.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { identifyProcess } from "../../src/worker-host/process-identity.ts";
import { RuntimeProcess } from "../../src/worker-host/runtime-process.ts";
import { HostHarness } from "./host-harness.ts";

interface Server {
  readonly process: ChildProcess;
  readonly workerPid: number;
  /** Sockets, configurations, modules. */
  readonly folder: string;
}

async function startServer(records: string): Promise<Server> {
  const program = fileURLToPath(new URL("./host-process.ts", import.meta.url));
  const server = spawn(process.execPath, [program, records], { stdio: ["ignore", "pipe", "inherit"] });
  const [line] = (await once(server.stdout, "data")) as [Buffer];
  const { pid } = JSON.parse(line.toString()) as { readonly pid: number };
  const [record] = await readdir(records);
  const { folder } = JSON.parse(await readFile(join(records, record ?? ""), "utf8")) as { readonly folder: string };
  return { process: server, workerPid: pid, folder };
}

async function killServer(server: Server): Promise<void> {
  const ended = once(server.process, "exit");
  server.process.kill("SIGKILL");
  await ended;
}

/** Nothing tells about a process that is not ours: it is looked at until it is gone. */
async function gone(what: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!(await what())) {
    assert.ok(Date.now() < deadline, "it is still there");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

const hasEnded = (pid: number) => async (): Promise<boolean> => (await identifyProcess(pid)) === undefined;

/** The shell that ends what a killed server leaves. */
async function sitterOf(folder: string): Promise<number> {
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const command = await readFile(`/proc/${name}/cmdline`, "utf8");
      if (command.includes("millrace-sitter") && command.includes(folder)) return Number(name);
    } catch {
      // It ended while we looked.
    }
  }
  throw new assert.AssertionError({ message: "there is no sitter" });
}

test("workerd ends when its server is killed", async () => {
  const records = await mkdtemp(join(tmpdir(), "millrace-test-"));
  const server = await startServer(records);
  assert.ok(existsSync(server.folder));
  await killServer(server);
  await gone(hasEnded(server.workerPid));
  await gone(() => !existsSync(server.folder));
  await rm(records, { recursive: true });
});

test("a server that is killed the moment it has spawned its Workers' processes leaves none behind", async () => {
  const program = fileURLToPath(new URL("./killed-at-spawn.ts", import.meta.url));
  const folder = await mkdtemp(join(tmpdir(), "millrace-test-"));
  const server = spawn(process.execPath, [program, folder], { stdio: ["ignore", "pipe", "inherit"] });
  const ended = once(server, "exit");
  const output = await text(server.stdout);
  assert.deepEqual(await ended, [null, "SIGKILL"]);
  const pids = output.trim().split("\n").map(Number);
  assert.equal(pids.length, 5);
  for (const pid of pids) await gone(hasEnded(pid));
  const sockets = (await readdir(folder)).filter((name) => name.startsWith("http"));
  assert.deepEqual(sockets, [], "none of them became workerd");
  await rm(folder, { recursive: true });
});

test("a runtime that this system does not execute says so", async () => {
  const folder = await mkdtemp(join(tmpdir(), "millrace-test-"));
  const started = RuntimeProcess.start({
    binary: join(folder, "workerd"),
    folder,
    config: "config.capnp",
    experimental: false,
    sockets: 1,
    startTimeoutMs: 20_000,
    onOutput: () => undefined,
    onSpawn: () => undefined,
    onExit: () => undefined,
  });
  await assert.rejects(started, { name: "StartFailure", message: /^workerd could not be started/ });
  await rm(folder, { recursive: true });
});

test(
  "what a killed server left is removed at the next start",
  { skip: process.platform === "linux" ? false : "the sitter is found through /proc" },
  async () => {
    const records = await mkdtemp(join(tmpdir(), "millrace-test-"));
    const server = await startServer(records);
    const sitter = await sitterOf(server.folder);
    process.kill(sitter, "SIGSTOP");
    await killServer(server);
    assert.notEqual(await identifyProcess(server.workerPid), undefined, "nobody has ended it yet");

    {
      await using harness = await HostHarness.open({}, undefined, records);
      assert.equal(existsSync(server.folder), false);
      await gone(hasEnded(server.workerPid));
      assert.ok(harness.log.events.some(({ event }) => event === "worker.leftover"));
    }
    process.kill(sitter, "SIGKILL");
    assert.deepEqual(await readdir(records), []);
    await rm(records, { recursive: true });
  },
);

test("a record of a process that is another one by now harms nobody", async () => {
  const records = await mkdtemp(join(tmpdir(), "millrace-test-"));
  const folder = await mkdtemp(join(tmpdir(), "millrace-"));
  const bystander = spawn("sleep", ["60"], { stdio: "ignore" });
  const ended = once(bystander, "exit");
  const processFolder = join(folder, "1");
  await mkdir(processFolder);
  await writeFile(
    join(processFolder, "process.json"),
    JSON.stringify({ pid: bystander.pid, startedAt: "another time" }),
  );
  await writeFile(join(records, "runtime-1.json"), JSON.stringify({ pid: 999_999_999, startedAt: "long ago", folder }));
  {
    await using harness = await HostHarness.open({}, undefined, records);
    assert.equal(existsSync(folder), false);
    assert.equal(harness.log.events.length, 0);
    assert.notEqual(await identifyProcess(bystander.pid ?? 0), undefined);
  }
  bystander.kill("SIGKILL");
  await ended;
  await rm(records, { recursive: true });
});

test("a record naming a folder that is not a host's is not believed", async () => {
  const records = await mkdtemp(join(tmpdir(), "millrace-test-"));
  const folder = await mkdtemp(join(tmpdir(), "precious-"));
  await writeFile(join(records, "runtime-1.json"), JSON.stringify({ pid: 999_999_999, startedAt: "long ago", folder }));
  {
    await using harness = await HostHarness.open({}, undefined, records);
    assert.ok(existsSync(folder));
    assert.equal(harness.log.events.length, 0);
  }
  await rm(folder, { recursive: true });
  await rm(records, { recursive: true });
});
