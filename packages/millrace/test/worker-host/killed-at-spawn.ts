// A server that spawns runtime processes and is killed before anybody could be told of them. Argument: an empty folder. Prints
// their process ids.

import { writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { RuntimeProcess } from "../../src/worker-host/runtime-process.ts";
import { findWorkerd } from "../../src/worker-host/workerd-binary.ts";

const [folder = "."] = process.argv.slice(2);
const count = 5;
let spawned = 0;
for (let each = 0; each < count; each += 1) {
  writeFileSync(
    join(folder, `${each}.capnp`),
    `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "nothing", network = (allow = []))],
  sockets = [(name = "http", address = "unix:http-${each}", http = (), service = "nothing")],
);`,
  );
  void RuntimeProcess.start({
    binary: findWorkerd().path,
    folder,
    config: `${each}.capnp`,
    experimental: false,
    sockets: 1,
    startTimeoutMs: 60_000,
    onOutput: () => undefined,
    onSpawn: async (pid) => {
      writeSync(1, `${pid}\n`);
      spawned += 1;
      if (spawned === count) process.kill(process.pid, "SIGKILL");
      await new Promise(() => undefined);
    },
    onExit: () => undefined,
  });
}
