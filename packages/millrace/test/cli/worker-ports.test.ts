// `millrace workers listen`, and how a Worker's own port is shown.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { test } from "node:test";
import { listenWorker } from "../../src/broker/index.ts";
import type { WorkerName } from "../../src/core/index.ts";
import { uploadWorker } from "../api/upload.ts";
import { cli, startApiServer } from "./cli-harness.ts";
import type { CliResult } from "./cli-harness.ts";

test("a Worker is given a port, shown with it, and loses it", async () => {
  await using server = await startApiServer();
  await uploadWorker(server.harness, "my-app");
  const millrace = async (...args: readonly string[]): Promise<CliResult> =>
    await cli(args, { cwd: tmpdir(), env: server.env });
  const given = await millrace("workers", "listen", "my-app", "--listen-port", "0");
  assert.match(given.stdout, /^my-app listens on http:\/\/127\.0\.0\.1:\d+\.\n$/);
  const [url = ""] = /http:[^ ]+\d/.exec(given.stdout) ?? [];
  assert.match((await millrace("workers", "list")).stdout, new RegExp(`^my-app .* ${url} `, "m"));
  assert.match((await millrace("workers", "info", "my-app")).stdout, new RegExp(`^Own port +${url}$`, "m"));
  assert.equal((await millrace("workers", "listen", "my-app", "--off")).stdout, "my-app has no port of its own.\n");
  assert.doesNotMatch((await millrace("workers", "info", "my-app")).stdout, /Own port/);
});

test("what cannot be is said: no port named, two wishes at once, no number, a host for everybody, a Worker that is not there", async () => {
  await using server = await startApiServer();
  await uploadWorker(server.harness, "my-app");
  const refusal = async (...args: readonly string[]): Promise<string> => {
    const { exitCode, stderr } = await cli(["workers", "listen", ...args], { cwd: tmpdir(), env: server.env });
    assert.notEqual(exitCode, 0);
    return stderr;
  };
  assert.match(await refusal("my-app"), /--listen-port <number>, or --off/);
  assert.match(await refusal("my-app", "--off", "--listen-port", "1"), /--off goes with no other option/);
  assert.match(await refusal("my-app", "--listen-port", "70000"), /from 0 to 65535/);
  assert.match(await refusal("my-app", "--listen-port", "0", "--listen-host", "0.0.0.0"), /without TLS.*--insecure/);
  assert.match(await refusal("absent", "--listen-port", "0"), /absent does not exist/);
});

test("doctor says which Worker cannot be reached through its own port", async () => {
  await using server = await startApiServer();
  await uploadWorker(server.harness, "my-app");
  const ports = async (): Promise<string> =>
    /^.*Ports .*$/m.exec((await cli(["doctor"], { cwd: tmpdir(), env: server.env })).stdout)?.[0] ?? "";
  assert.match(await ports(), /^-- .*no Worker has a port of its own$/);
  await cli(["workers", "listen", "my-app", "--listen-port", "0"], { cwd: tmpdir(), env: server.env });
  assert.match(await ports(), /^ok .*1 Worker with a port of its own$/);
  const taker = createServer().listen(0, "127.0.0.1");
  await once(taker, "listening");
  const { port } = taker.address() as AddressInfo;
  const { controlPlane, host } = server.harness;
  const name = "my-app" as WorkerName;
  await controlPlane.change("test", (view, context) =>
    listenWorker(view, context, { name, listen: { host: "127.0.0.1", port } }),
  );
  await host.ports.whenKnown(name);
  assert.match(await ports(), new RegExp(`^BAD .*my-app cannot .*:${port}, not open: Port ${port} is in use`));
  taker.close();
});
