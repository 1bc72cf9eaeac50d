// The way in for users of Workers: HTTP and WebSockets on one port, sent to the Worker the host name says.
//
// http://<worker>.localhost:<port> goes to that Worker; any other host to the default Worker, or to the only one.

import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { connect } from "node:net";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import type { Dispatcher, Pool } from "undici";
import type { Logger, WorkerName } from "../core/index.ts";
import { requestHeaders, responseHeaders, upgradeHeaders } from "./forwarded-request.ts";

export interface RouterOptions {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  /** Takes requests whose host names no Worker; `undefined`: the only Worker there is. */
  readonly defaultWorker?: string | undefined;
}

/** A Worker's own entrance. */
export interface RouteTarget {
  readonly name: WorkerName;
  readonly state: string;
  readonly lastError: string | undefined;
  /** The process that answers now; the usual case, without waiting. */
  readonly current: RouteProcess | undefined;
  whenReady(ms: number): Promise<RouteProcess | undefined>;
}

export interface RouteProcess {
  readonly http: Pool;
  readonly httpSocket: string;
}

export interface RouterDependencies {
  readonly find: (name: string) => RouteTarget | undefined;
  readonly names: () => readonly WorkerName[];
  readonly requestWaitMs: number;
  readonly logger: Logger;
}

/** Where a request goes, or what its sender is told. */
type Route =
  | { readonly kind: "worker"; readonly target: RouteTarget }
  | { readonly kind: "refused"; readonly status: 404 | 503; readonly text: string };

export class WorkerRouter {
  readonly port: number;
  readonly host: string;
  readonly #options: RouterOptions;
  readonly #dependencies: RouterDependencies;
  readonly #server: Server;
  /** Connections that became WebSockets; the server forgets those. */
  readonly #upgraded = new Set<Duplex>();
  #isClosing = false;

  private constructor(server: Server, options: RouterOptions, dependencies: RouterDependencies) {
    this.#server = server;
    this.#options = options;
    this.#dependencies = dependencies;
    const { port } = server.address() as AddressInfo;
    this.port = port;
    this.host = options.host;
    server.on("request", (request, response) => void this.#serve(request, response));
    server.on("upgrade", (request, socket, head) => void this.#upgrade(request, socket, head));
  }

  /** Rejects when the address cannot be listened on. */
  static async open(options: RouterOptions, dependencies: RouterDependencies): Promise<WorkerRouter> {
    // Long uploads and answers are the Workers' business; a connection that asks nothing is closed after Node's usual time.
    const server = createServer({ requestTimeout: 0, keepAliveTimeout: 75_000, noDelay: true });
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(options.port, options.host, () => {
        server.off("error", reject);
        resolve();
      });
    });
    return new WorkerRouter(server, options, dependencies);
  }

  /** Without a Worker's name: the address of the default Worker. */
  get url(): string {
    const host = this.host.includes(":") ? `[${this.host}]` : this.host;
    return `http://${host === "127.0.0.1" || host === "[::1]" ? "localhost" : host}:${this.port}`;
  }

  urlOf(worker: WorkerName): string {
    return `http://${worker}.localhost:${this.port}`;
  }

  /** Takes nothing new; what is under way may finish for `graceMs`. */
  async close(graceMs: number): Promise<void> {
    this.#isClosing = true;
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeIdleConnections();
    for (const socket of this.#upgraded) socket.destroy();
    const timer = setTimeout(() => this.#server.closeAllConnections(), graceMs);
    await closed;
    clearTimeout(timer);
  }

  #route(request: IncomingMessage): Route {
    const { find, names } = this.#dependencies;
    const host = (request.headers.host ?? "").replace(/:\d+$/, "").toLowerCase();
    if (host.endsWith(".localhost")) {
      const name = host.slice(0, -".localhost".length);
      const target = find(name) ?? find(names().find((known) => known.toLowerCase() === name) ?? "");
      return target === undefined
        ? { kind: "refused", status: 404, text: `There is no Worker named ${name}. ${existing(names())}` }
        : { kind: "worker", target };
    }
    const { defaultWorker } = this.#options;
    if (defaultWorker !== undefined) {
      const target = find(defaultWorker);
      const text = `The default Worker ${defaultWorker} is not deployed. ${existing(names())}`;
      return target === undefined ? { kind: "refused", status: 503, text } : { kind: "worker", target };
    }
    const [only, ...others] = names();
    const target = only === undefined || others.length > 0 ? undefined : find(only);
    if (target !== undefined) return { kind: "worker", target };
    if (only === undefined) return { kind: "refused", status: 503, text: existing([]) };
    const hint = `http://${only}.localhost:${this.port}`;
    return {
      kind: "refused",
      status: 404,
      text: `Several Workers are deployed; name one, for example ${hint}, or start with --default-worker. ${existing(names())}`,
    };
  }

  async #processOf(target: RouteTarget): Promise<RouteProcess | undefined> {
    return target.current ?? (await target.whenReady(this.#dependencies.requestWaitMs));
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const startedAt = performance.now();
    response.once("close", () => {
      // Its connection would stay open for the sender's next request, and closing would wait for that.
      if (this.#isClosing) setImmediate(() => this.#server.closeIdleConnections());
    });
    const route = this.#route(request);
    if (route.kind === "refused") {
      refuse(response, route.status, route.text);
      return;
    }
    const { target } = route;
    response.once("close", () => {
      const path = request.url?.split("?", 1)[0];
      const ms = Math.round(performance.now() - startedAt);
      const status = response.headersSent ? response.statusCode : 499;
      this.#dependencies.logger.debug("http.request", {
        worker: target.name,
        method: request.method,
        path,
        status,
        ms,
      });
    });
    const process = await this.#processOf(target);
    if (process === undefined) {
      refuse(response, 503, notRunning(target));
      return;
    }
    forward(request, response, process.http, target);
  }

  async #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    socket.on("error", () => socket.destroy());
    const route = this.#route(request);
    const process = route.kind === "worker" ? await this.#processOf(route.target) : undefined;
    if (process === undefined) {
      const { status, text } =
        route.kind === "refused" ? route : { status: 503 as const, text: notRunning(route.target) };
      socket.end(
        `HTTP/1.1 ${status} ${phrases[status]}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(text)}\r\nConnection: close\r\n\r\n${text}`,
      );
      return;
    }
    const headers = upgradeHeaders(request);
    let opening = `${request.method} ${request.url} HTTP/1.1\r\n`;
    for (let index = 0; index + 1 < headers.length; index += 2)
      opening += `${headers[index]}: ${headers[index + 1]}\r\n`;
    const upstream = connect(process.httpSocket);
    this.#upgraded.add(socket);
    const end = (): void => {
      this.#upgraded.delete(socket);
      upstream.destroy();
      socket.destroy();
    };
    upstream.on("error", end);
    upstream.on("close", end);
    socket.on("close", end);
    upstream.write(`${opening}\r\n`, "latin1");
    if (head.byteLength > 0) upstream.write(head);
    upstream.pipe(socket);
    socket.pipe(upstream);
  }
}

/** Sends the request on and the answer back, both as they flow. */
function forward(request: IncomingMessage, response: ServerResponse, http: Pool, target: RouteTarget): void {
  let controller: Dispatcher.DispatchController | undefined;
  let hasBegun = false;
  response.once("close", () => {
    if (!response.writableFinished) controller?.abort(new Error("the client went away"));
  });
  response.on("drain", () => controller?.resume());
  const hasBody = request.headers["content-length"] !== undefined || request.headers["transfer-encoding"] !== undefined;
  const options: Dispatcher.DispatchOptions = {
    method: request.method ?? "GET",
    path: request.url ?? "/",
    headers: requestHeaders(request),
    body: hasBody ? request : null,
  };
  http.dispatch(options, {
    onRequestStart(started) {
      controller = started;
      if (response.destroyed) started.abort(new Error("the client went away"));
    },
    onResponseStart(started, status, _headers, statusMessage) {
      if (status < 200) return;
      const pairs = (started.rawHeaders ?? []) as readonly (string | Buffer)[];
      response.writeHead(status, statusMessage, responseHeaders(pairs));
      // The body usually comes in the same breath and takes the headers with it; a stream that is silent at first must not hold them.
      setImmediate(() => {
        if (!hasBegun) response.flushHeaders();
      });
    },
    onResponseData(started, chunk) {
      hasBegun = true;
      if (!response.write(chunk)) started.pause();
    },
    onResponseEnd() {
      hasBegun = true;
      response.end();
    },
    onResponseError() {
      hasBegun = true;
      if (response.headersSent) response.destroy();
      else refuse(response, 503, notRunning(target));
    },
  });
}

const phrases = { 404: "Not Found", 503: "Service Unavailable" } as const;

function refuse(response: ServerResponse, status: 404 | 503, text: string): void {
  const headers: Record<string, string> = { "content-type": "text/plain; charset=utf-8" };
  if (status === 503) headers["retry-after"] = "1";
  response.writeHead(status, headers);
  response.end(`${text}\n`);
}

function notRunning(target: RouteTarget): string {
  const { name, state, lastError } = target;
  const why = lastError === undefined ? "" : ` ${lastError}.`;
  switch (state) {
    case "crashed":
      return `Worker ${name} does not start; it is tried again.${why}`;
    case "starting":
      return `Worker ${name} is starting; try again in a moment.`;
    default:
      return `Worker ${name} is restarting; try again in a moment.${why}`;
  }
}

function existing(names: readonly WorkerName[]): string {
  return names.length === 0
    ? "No Worker is deployed. Deploy one: millrace wrangler deploy."
    : `Deployed: ${names.toSorted().join(", ")}.`;
}
