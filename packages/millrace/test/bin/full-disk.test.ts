// Output to a device on which nothing can be written.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, open, readFile, watch } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { plainEnvironment, temporaryFolder } from "../cli/cli-harness.ts";

const bin = fileURLToPath(new URL("../../bin/millrace.js", import.meta.url));
const skip = !existsSync("/dev/full") && "no /dev/full here";

async function start(args: readonly string[]): Promise<ChildProcess> {
  await using full = await open("/dev/full", "w");
  return spawn(process.execPath, [bin, ...args], { stdio: ["ignore", full.fd, "pipe"], env: plainEnvironment });
}

async function textOf(child: ChildProcess): Promise<string> {
  let text = "";
  child.stderr?.setEncoding("utf8");
  for await (const piece of child.stderr ?? []) text += String(piece);
  return text;
}

test("a server whose log cannot be written serves all the same", { skip }, async () => {
  await using folder = await temporaryFolder();
  const data = join(folder.path, "data");
  await mkdir(data, { mode: 0o700 });
  const signal = AbortSignal.timeout(60_000);
  const changes = watch(data, { signal });
  const child = await start(["serve", "--data", data, "--port", "0", "--worker-port", "0"]);
  try {
    for await (const _ of changes) if (existsSync(join(data, "server.json"))) break;
    const { api } = JSON.parse(await readFile(join(data, "server.json"), "utf8")) as { api: string };
    assert.equal((await fetch(new URL("/healthz", api))).status, 200);
    const ended = once(child, "exit", { signal });
    child.kill("SIGTERM");
    const [said, [code]] = await Promise.all([textOf(child), ended]);
    assert.deepEqual([said, code], ["", 0]);
  } finally {
    child.kill("SIGKILL");
  }
});

test("a command that cannot say what it found fails, in one line", { skip }, async () => {
  const child = await start(["--help"]);
  const [said, [code]] = await Promise.all([textOf(child), once(child, "exit")]);
  assert.deepEqual([said.split("\n").length, code], [2, 1], said);
  assert.match(said, /^millrace: cannot write what there is to say: ENOSPC/);
});
