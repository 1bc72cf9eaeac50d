// The configuration of one Worker's workerd process, as values; `capnp-text.ts` writes it down.
// Schema: workerd.capnp of the pinned workerd package.

import type { BindingRecord, ModuleRecord, VersionRecord } from "../core/index.ts";
import { capnpText, embed } from "./capnp-text.ts";
import type { CapnpValue } from "./capnp-text.ts";
import type { Compatibility } from "./compatibility.ts";

/** Carries the proof which binding of which Worker a request comes from; workerd adds it, the Worker cannot. */
export const bindingHeader = "millrace-binding";

export interface UserWorker {
  readonly version: VersionRecord;
  readonly compatibility: Compatibility;
  /** File of each module by its name, relative to the configuration. */
  readonly files: ReadonlyMap<string, string>;
  /** Takes the place of the script's main module or whole script: the probe. */
  readonly mainInstead?: { readonly name: string; readonly file: string } | undefined;
}

export interface ServiceSockets {
  /** Where the Worker's `fetch` handler answers. */
  readonly http: string;
  /** Where the dispatcher takes batches and pings. */
  readonly dispatch: string;
}

/** A port of the Worker's own, whose descriptor is passed to the process. */
export interface OwnPort {
  /** Whether those who connect may say where a request came from: programs of this machine, so perhaps a proxy. */
  readonly trusted: boolean;
  /** Of the entrypoint that holds answers back; `undefined`: the Worker has none. */
  readonly leaving: { readonly entrypoint: string; readonly path: string } | undefined;
}

/** The socket that is given a descriptor instead of an address. */
export const ownPortSocket = "own-port";

export interface BindingAddress {
  /** The server's socket for queue bindings. */
  readonly socket: string;
  /** The proof of each queue binding, by the binding's name. */
  readonly tokens: ReadonlyMap<string, string>;
}

export interface DispatcherFile {
  readonly file: string;
  readonly compatibilityDate: string;
  /** How its receipts begin. */
  readonly receipt: string;
  /** Set when every invocation shall be reported: the proof the reports carry. */
  readonly traceToken: string | undefined;
}

/** The process that serves a version: the Worker, and the dispatcher in front of its queue handler. */
export function serviceConfig(
  worker: UserWorker,
  sockets: ServiceSockets,
  bindings: BindingAddress,
  dispatcher: DispatcherFile,
  port?: OwnPort,
): string {
  const traced = dispatcher.traceToken !== undefined;
  return config(
    [
      service("user", { ...workerFields(worker), tails: traced ? ["dispatcher"] : undefined }),
      service("dispatcher", {
        modules: [{ name: "dispatcher.js", esModule: embed(dispatcher.file) }],
        compatibilityDate: dispatcher.compatibilityDate,
        compatibilityFlags: ["service_binding_extra_handlers"],
        bindings: [
          { name: "USER", service: "user" },
          { name: "SELF", service: "dispatcher" },
          { name: "RECEIPT", text: dispatcher.receipt },
          ...(traced ? [{ name: "TRACES", service: "traces" }] : []),
        ],
      }),
      ...queueServices(worker.version, bindings),
      ...(dispatcher.traceToken === undefined ? [] : [external("traces", bindings.socket, dispatcher.traceToken)]),
      internet,
    ],
    [
      socket("http", sockets.http, "user"),
      socket("dispatch", sockets.dispatch, "dispatcher"),
      ...(port === undefined ? [] : ownPortSockets(port)),
    ],
  );
}

/** The short-lived process that says what a version exports; without the dispatcher it needs no experimental switch. */
export function probeConfig(worker: UserWorker, address: string, bindings: BindingAddress): string {
  return config(
    [service("user", workerFields(worker)), ...queueServices(worker.version, bindings), internet],
    [socket("probe", address, "user")],
  );
}

function config(services: readonly CapnpValue[], sockets: readonly CapnpValue[]): string {
  const value = {
    services,
    sockets,
    // Halves the memory under load at no cost in throughput (docs/internals/architecture.md, what was measured).
    v8Flags: ["--max-semi-space-size=2", "--single-threaded-gc"],
    logging: { structuredLogging: true },
  };
  return `using Workerd = import "/workerd/workerd.capnp";\nconst config :Workerd.Config = ${capnpText(value)};\n`;
}

function service(name: string, worker: CapnpValue): CapnpValue {
  return { name, worker };
}

function socket(name: string, path: string, serves: string): CapnpValue {
  // The header is honoured because only the router reaches this socket, and it says what is true.
  return { name, address: `unix:${path}`, service: serves, http: { forwardedProtoHeader: "x-forwarded-proto" } };
}

/**
 * What a client says of itself is not passed on: here nobody puts the truth in its place, as the router does. `CF-Connecting-IP`
 * never, because proxies pass it through; what proxies set, from programs of this machine alone.
 */
function ownPortSockets({ trusted, leaving }: OwnPort): CapnpValue[] {
  const forged = ["CF-Connecting-IP", ...(trusted ? [] : ["X-Forwarded-For", "X-Forwarded-Proto", "X-Real-IP"])];
  const http = {
    // Without a value a header is taken away.
    injectRequestHeaders: forged.map((name) => ({ name })),
    ...(trusted && { forwardedProtoHeader: "x-forwarded-proto" }),
  };
  const own = { name: ownPortSocket, service: "user", http };
  if (leaving === undefined) return [own];
  const { entrypoint, path } = leaving;
  return [own, { name: "leaving", address: `unix:${path}`, service: { name: "user", entrypoint }, http: {} }];
}

/** Workers may reach the network as any program here may, but no unix socket: those are the server's own. */
const internet: CapnpValue = {
  name: "internet",
  network: { allow: ["public", "private"], deny: ["unix", "unix-abstract"], tlsOptions: { trustBrowserCas: true } },
};

function external(name: string, socketPath: string, token: string): CapnpValue {
  return {
    name,
    external: {
      address: `unix:${socketPath}`,
      http: { injectRequestHeaders: [{ name: bindingHeader, value: token }] },
    },
  };
}

/** One service a binding: the request itself does not say which queue it is for. */
function queueServices(version: VersionRecord, bindings: BindingAddress): CapnpValue[] {
  return version.bindings.flatMap(({ type, name }) => {
    const token = bindings.tokens.get(name);
    return type === "queue" && token !== undefined ? [external(`queue ${name}`, bindings.socket, token)] : [];
  });
}

function workerFields(worker: UserWorker): { readonly [field: string]: CapnpValue | undefined } {
  const { version, compatibility, files, mainInstead } = worker;
  const bindings = version.bindings.map((binding) => bindingValue(binding, version, files));
  const shared = {
    compatibilityDate: compatibility.date,
    compatibilityFlags: compatibility.flags,
    bindings,
  };
  const main = version.modules.find(({ name }) => name === version.main_module);
  if (main?.kind === "service-worker") {
    return { ...shared, serviceWorkerScript: embed(mainInstead?.file ?? fileOf(main.name, files)) };
  }
  // The first module is the main one.
  const others = version.modules.filter(({ name }) => name !== version.main_module);
  const ordered = main === undefined ? others : [main, ...others];
  const instead = mainInstead === undefined ? [] : [{ name: mainInstead.name, esModule: embed(mainInstead.file) }];
  return { ...shared, modules: [...instead, ...ordered.flatMap((module) => moduleValue(module, files))] };
}

function moduleValue(module: ModuleRecord, files: UserWorker["files"]): CapnpValue[] {
  if (module.kind === "source-map") return [];
  const content = embed(fileOf(module.name, files));
  const { name } = module;
  switch (module.kind) {
    case "esm":
    case "service-worker":
      return [{ name, esModule: content }];
    case "commonjs":
      return [{ name, commonJsModule: content }];
    case "text":
      return [{ name, text: content }];
    case "data":
      return [{ name, data: content }];
    case "wasm":
      return [{ name, wasm: content }];
    case "json":
      return [{ name, json: content }];
    default:
      return module.kind satisfies never;
  }
}

function bindingValue(binding: BindingRecord, version: VersionRecord, files: UserWorker["files"]): CapnpValue {
  const { name } = binding;
  switch (binding.type) {
    case "queue":
      return { name, queue: `queue ${name}` };
    case "plain_text":
    case "secret_text":
      return { name, text: binding.text };
    case "json":
      return { name, json: JSON.stringify(binding.json) };
    case "text_blob":
      return { name, text: embed(fileOf(binding.part, files)) };
    case "data_blob":
      return { name, data: embed(fileOf(binding.part, files)) };
    case "wasm_module":
      return { name, wasmModule: embed(fileOf(binding.part, files)) };
    case "version_metadata": {
      const tag = version.annotations["workers/tag"] ?? "";
      const timestamp = new Date(version.created_at_ms).toISOString();
      return { name, json: JSON.stringify({ id: version.id, tag, timestamp }) };
    }
    default:
      return binding satisfies never;
  }
}

function fileOf(name: string, files: UserWorker["files"]): string {
  const file = files.get(name);
  if (file === undefined) throw new Error(`module ${name} was not written`);
  return file;
}
