// Starts processes for versions: writes what workerd reads, admits the bindings, and takes everything back when the process ends.

import { readFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { Client } from "undici";
import { isLoopback } from "../core/index.ts";
import type { CatalogStore, Logger, VersionRecord } from "../core/index.ts";
import type { BindingSocket, TraceSink } from "./binding-socket.ts";
import { grantCompatibility } from "./compatibility.ts";
import type { HostLimits } from "./host-limits.ts";
import { leavingEntrypoint, leavingSource } from "./leaving-source.ts";
import type { ListeningSocket } from "./listening-socket.ts";
import { moduleProbe, scriptProbe } from "./probe-source.ts";
import type { ExportedHandlers } from "./probe-source.ts";
import { Receipts } from "./receipts.ts";
import type { RuntimeFolder } from "./runtime-folder.ts";
import { recordProcess } from "./runtime-folder.ts";
import { RuntimeProcess, StartFailure } from "./runtime-process.ts";
import type { RuntimeStart } from "./runtime-process.ts";
import type { Sitter } from "./sitter.ts";
import { writeModules, writePrivate } from "./version-files.ts";
import type { ReadModule } from "./version-files.ts";
import type { WorkerLog } from "./worker-log.ts";
import { WorkerProcess } from "./worker-process.ts";
import type { WorkerdBinary } from "./workerd-binary.ts";
import { ownPortSocket, probeConfig, serviceConfig } from "./workerd-config.ts";
import type { UserWorker } from "./workerd-config.ts";

export interface LauncherDependencies {
  readonly workerd: WorkerdBinary;
  readonly folder: RuntimeFolder;
  readonly sitter: Sitter;
  readonly socket: BindingSocket;
  readonly blobs: Pick<CatalogStore, "getBlob">;
  readonly log: WorkerLog;
  readonly logger: Logger;
  readonly limits: HostLimits;
}

export interface LaunchOptions {
  readonly signal: AbortSignal;
  /** Where reports of its invocations go; `undefined`: none are made. */
  readonly traces?: TraceSink | undefined;
  /** Its own port; `undefined`: it has none. Only for a version that is deployed, since it is served at once. */
  readonly port?: ListeningSocket | undefined;
  /** Modules at hand, by name; those that are not come from the blobs. */
  readonly modules?: ReadonlyMap<string, Uint8Array> | undefined;
}

const dispatcherSource = readFileSync(new URL("dispatcher/dispatcher.js", import.meta.url));

export class Launcher {
  readonly #dependencies: LauncherDependencies;

  constructor(dependencies: LauncherDependencies) {
    this.#dependencies = dependencies;
  }

  /** Starts the process that serves a version. Throws `StartFailure`, and `WORKER_INVALID` for what is wrong before any start. */
  async launch(version: VersionRecord, options: LaunchOptions): Promise<WorkerProcess> {
    const { workerd, socket, log, logger, limits } = this.#dependencies;
    const { worker } = version;
    const compatibility = grantCompatibility(version, workerd.newestCompatibilityDate);
    if (compatibility.warning !== undefined)
      logger.warn("worker.compatibility", { worker, message: compatibility.warning });
    const traceToken = options.traces === undefined ? undefined : socket.admitTraces(options.traces);
    const tokens = this.#admitBindings(version);
    const receipts = new Receipts();
    return await this.#inFolder([...tokens.values(), traceToken], async (folder, done) => {
      const files = await writeModules(folder, version, this.#reader(options.modules));
      const sockets = { http: join(folder, "http"), dispatch: join(folder, "dispatch") };
      await writePrivate(join(folder, "dispatcher.js"), dispatcherSource);
      const { port } = options;
      const main = port !== undefined && canHoldAnswers(version) ? await leavingMain(folder, version) : undefined;
      const leaving = main === undefined ? undefined : { entrypoint: leavingEntrypoint, path: join(folder, "leaving") };
      const trusted = port !== undefined && isLoopback(port.address.host);
      const config = serviceConfig(
        { version, compatibility, files, mainInstead: main },
        sockets,
        { socket: socket.path, tokens },
        {
          file: "dispatcher.js",
          compatibilityDate: workerd.newestCompatibilityDate,
          receipt: receipts.word,
          traceToken,
        },
        port === undefined ? undefined : { trusted, leaving },
      );
      await writePrivate(join(folder, "config.capnp"), config);
      const process = await WorkerProcess.start(
        {
          version,
          limits,
          unresponsiveMs: Math.max(limits.unresponsiveMs, cpuLimitOf(version)),
          isTraced: traceToken !== undefined,
          start: {
            ...this.#start(folder, true, 2 + (port === undefined ? 0 : 1) + (leaving === undefined ? 0 : 1)),
            passed: port === undefined ? undefined : { socket: ownPortSocket, descriptor: port.descriptor },
          },
          sockets: { ...sockets, leaving: leaving?.path },
          port,
          receipts,
          onOutput: (output) => {
            if (output.kind === "console") log.console(worker, output.level, output.text);
            else logger[runtimeLevels[output.level]]("worker.runtime", { worker, message: output.text });
          },
          onError: (error) => log.error(worker, error),
          onWedged: (silentMs) => logger.error("worker.wedged", { worker, pid: process.pid, silentMs }),
        },
        options.signal,
      );
      void cleanUpAfter(process, done);
      return process;
    });
  }

  /** Runs the script once to see what it exports. Throws `StartFailure`. */
  async probe(version: VersionRecord, options: LaunchOptions): Promise<ExportedHandlers> {
    const { workerd, socket } = this.#dependencies;
    const compatibility = grantCompatibility(version, workerd.newestCompatibilityDate);
    return await this.#inFolder([], async (folder, done) => {
      const read = this.#reader(options.modules);
      const files = await writeModules(folder, version, read);
      const main = await this.#probeMain(folder, version, read);
      const worker: UserWorker = { version, compatibility, files, mainInstead: main };
      const address = join(folder, "probe");
      // Tokens nobody admitted: a script cannot send while it loads anyway.
      const tokens = new Map(version.bindings.map(({ name }) => [name, "probe"]));
      await writePrivate(join(folder, "config.capnp"), probeConfig(worker, address, { socket: socket.path, tokens }));
      const start = { ...this.#start(folder, false, 1), onOutput: () => undefined };
      const process = await RuntimeProcess.start(start, options.signal);
      try {
        return await askProbe(address, this.#dependencies.limits.startTimeoutMs);
      } finally {
        process.kill();
        await process.exited;
        await done();
      }
    });
  }

  async #probeMain(
    folder: string,
    version: VersionRecord,
    read: ReadModule,
  ): Promise<{ readonly name: string; readonly file: string }> {
    const main = version.modules.find(({ name }) => name === version.main_module);
    const isScript = main?.kind === "service-worker";
    const script = isScript ? new TextDecoder().decode(await read(main)) : "";
    await writePrivate(join(folder, "probe.js"), isScript ? scriptProbe(script) : moduleProbe(version.main_module));
    return { name: unusedName(version, "millrace-probe.js"), file: "probe.js" };
  }

  #reader(modules: ReadonlyMap<string, Uint8Array> | undefined): ReadModule {
    const { blobs } = this.#dependencies;
    return async ({ name, blob }) => modules?.get(name) ?? (await blobs.getBlob(blob));
  }

  #admitBindings(version: VersionRecord): ReadonlyMap<string, string> {
    const tokens = new Map<string, string>();
    for (const binding of version.bindings) {
      if (binding.type !== "queue") continue;
      tokens.set(binding.name, this.#dependencies.socket.admit({ worker: version.worker, queue: binding.queue }));
    }
    return tokens;
  }

  #start(folder: string, experimental: boolean, sockets: number): Omit<RuntimeStart, "onOutput"> {
    const { workerd, sitter, limits } = this.#dependencies;
    return {
      binary: workerd.path,
      folder,
      config: "config.capnp",
      experimental,
      sockets,
      startTimeoutMs: limits.startTimeoutMs,
      onSpawn: async (pid) => {
        // The record is only needed after a crash of this server and its sitter: a failed write costs nothing else.
        await Promise.all([sitter.watch(pid), recordProcess(folder, pid).catch(() => undefined)]);
      },
      onExit: (pid) => sitter.forget(pid),
    };
  }

  /** Gives `run` a folder; it and the tokens go when `run` fails or calls `done`. */
  async #inFolder<T>(
    tokens: readonly (string | undefined)[],
    run: (folder: string, done: () => Promise<void>) => Promise<T>,
  ): Promise<T> {
    const { folder: parent, socket } = this.#dependencies;
    const folder = await parent.newProcessFolder();
    const done = async (): Promise<void> => {
      for (const token of tokens) if (token !== undefined) socket.revoke(token);
      await rm(folder, { recursive: true, force: true, maxRetries: 3 });
    };
    try {
      return await run(folder, done);
    } catch (error) {
      await done();
      throw error;
    }
  }
}

/** A module of a kind that can stand in front of another one's exports. */
function canHoldAnswers({ modules, main_module, handlers }: VersionRecord): boolean {
  return handlers.includes("fetch") && modules.some(({ name, kind }) => name === main_module && kind === "esm");
}

async function leavingMain(
  folder: string,
  version: VersionRecord,
): Promise<{ readonly name: string; readonly file: string }> {
  await writePrivate(join(folder, "leaving.js"), leavingSource(version.main_module));
  return { name: unusedName(version, "millrace-leaving.js"), file: "leaving.js" };
}

function unusedName(version: VersionRecord, wanted: string): string {
  let name = wanted;
  while (version.modules.some((module) => module.name === name)) name = `_${name}`;
  return name;
}

/** `limits.cpu_ms` of the upload: so long one invocation may keep the event loop busy. Source: queues-contract.md section 12. */
function cpuLimitOf(version: VersionRecord): number {
  const kept = version.kept["limits"];
  const cpuMs = typeof kept === "object" && kept !== null && "cpu_ms" in kept ? kept["cpu_ms"] : undefined;
  return typeof cpuMs === "number" ? Math.min(cpuMs, 300_000) : 0;
}

const runtimeLevels = { debug: "debug", info: "debug", log: "debug", warn: "debug", error: "warn" } as const;

async function cleanUpAfter(process: WorkerProcess, done: () => Promise<void>): Promise<void> {
  await process.exited;
  await done();
}

async function askProbe(address: string, timeoutMs: number): Promise<ExportedHandlers> {
  const client = new Client("http://probe", { socketPath: address });
  try {
    const response = await client.request({ method: "GET", path: "/", signal: AbortSignal.timeout(timeoutMs) });
    return (await response.body.json()) as ExportedHandlers;
  } catch (cause) {
    throw new StartFailure("The script loaded, but could not be asked what it exports", { cause });
  } finally {
    await client.destroy();
  }
}
