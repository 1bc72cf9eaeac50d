// Tails: a client opens one, then reads a Worker's invocations from a WebSocket. Source: rest-api.md section 7.7.

import type { IncomingMessage, Server } from "node:http";
import type { Duplex } from "node:stream";
import { z } from "zod";
import { MillraceError, toHex } from "../../core/index.ts";
import type { WorkerName } from "../../core/index.ts";
import { tailBody, tailView } from "../../contract/rest/index.ts";
import type { ApiDependencies } from "../dependencies.ts";
import type { WorkerTrace } from "../deploy-target.ts";
import { isoTime } from "../queue-view.ts";
import { defineRoute } from "../route.ts";
import type { Route } from "../route.ts";
import { acceptWebSocket, asksForWebSocket } from "../websocket.ts";
import type { TextSocket } from "../websocket.ts";
import { tailFilter } from "./tail-filter.ts";
import { existingWorkerOf } from "./worker-parameter.ts";

const protocol = "trace-v1";
const pathPrefix = "/client/v4/tails/";
/** Clients tailing one Worker at a time, as on Cloudflare. */
const maxPerWorker = 10;
const lifeMs = 6 * 3_600_000;
/** An id that nobody connects to is forgotten after this. */
const connectWithinMs = 60_000;

interface Tail {
  readonly id: string;
  readonly worker: WorkerName;
  readonly expiresAt: number;
  readonly shows: (trace: WorkerTrace) => boolean;
  socket: TextSocket | undefined;
  timer: NodeJS.Timeout;
  readonly unsubscribe: () => void;
}

export class Tails implements Disposable {
  readonly #tails = new Map<string, Tail>();
  readonly #host: ApiDependencies["host"];

  constructor({ host }: Pick<ApiDependencies, "host">) {
    this.#host = host;
  }

  /** Throws `TAIL_LIMIT_REACHED`. */
  open(tail: Pick<Tail, "id" | "worker" | "shows"> & { readonly now: number }): { readonly expiresAt: number } {
    if ([...this.#tails.values()].filter(({ worker }) => worker === tail.worker).length >= maxPerWorker) {
      throw new MillraceError(
        "TAIL_LIMIT_REACHED",
        `Worker ${tail.worker} is tailed by ${maxPerWorker} clients already`,
      );
    }
    const expiresAt = tail.now + lifeMs;
    const { id, worker, shows } = tail;
    // Listening begins here, not with the WebSocket: the Worker may need a moment until it reports.
    const unsubscribe = this.#host.onTrace((trace) => {
      const { socket } = opened;
      if (socket !== undefined && shows(trace)) socket.send(JSON.stringify(trace));
    }, worker);
    const timer = this.#later(connectWithinMs, id);
    const opened: Tail = { id, worker, expiresAt, shows, socket: undefined, timer, unsubscribe };
    this.#tails.set(id, opened);
    return { expiresAt };
  }

  /** May be called for a tail that is gone. */
  close(id: string): void {
    const tail = this.#tails.get(id);
    if (tail === undefined) return;
    clearTimeout(tail.timer);
    tail.unsubscribe();
    this.#tails.delete(id);
    tail.socket?.close(1000, "the tail has ended");
  }

  /** The tails of a Worker, as ids. */
  of(worker: WorkerName): readonly { readonly id: string; readonly expiresAt: number }[] {
    return [...this.#tails.values()].filter((tail) => tail.worker === worker);
  }

  /** Whether a request for another protocol is for a tail; anything else stays an ordinary request. */
  takes(request: IncomingMessage): boolean {
    return request.url?.startsWith(pathPrefix) === true && asksForWebSocket(request);
  }

  /** Serves the WebSockets of a server. */
  attach(server: Server): void {
    server.on("upgrade", (request: IncomingMessage, socket: Duplex) => {
      const tail = this.#tails.get((request.url ?? "").slice(pathPrefix.length));
      if (tail === undefined || tail.socket !== undefined) {
        socket.end("HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        return;
      }
      clearTimeout(tail.timer);
      tail.timer = this.#later(lifeMs, tail.id);
      const offered = (request.headers["sec-websocket-protocol"] ?? "").split(",").map((name) => name.trim());
      tail.socket = acceptWebSocket(request, socket, {
        protocol: offered.includes(protocol) ? protocol : undefined,
        onClose: () => this.close(tail.id),
      });
    });
  }

  [Symbol.dispose](): void {
    for (const { socket, timer, unsubscribe } of this.#tails.values()) {
      clearTimeout(timer);
      unsubscribe();
      // Not 1000: wrangler then opens the tail again, at the server that comes after this one.
      socket?.close(1012, "the server is restarting");
    }
    this.#tails.clear();
  }

  #later(ms: number, id: string): NodeJS.Timeout {
    return setTimeout(() => this.close(id), ms).unref();
  }
}

export function tailRoutes({ controlPlane, clock, random }: ApiDependencies, tails: Tails): Route[] {
  const path = "/workers/scripts/{script_name}/tails";
  return [
    defineRoute({
      id: "createTail",
      method: "POST",
      path,
      tag: "Workers",
      summary: "Open a tail; the WebSocket at its url then shows the Worker's invocations",
      needs: "workers:write",
      body: tailBody.optional(),
      result: tailView,
      handle: ({ params, body, origin }) => {
        const { name } = existingWorkerOf(controlPlane.view, params);
        const id = toHex(random.bytes(16));
        const shows = tailFilter(body?.filters ?? [], () => Math.random());
        const { expiresAt } = tails.open({ id, worker: name, shows, now: clock.now() });
        return {
          result: { id, url: `${origin.replace(/^http/, "ws")}${pathPrefix}${id}`, expires_at: isoTime(expiresAt) },
        };
      },
    }),
    defineRoute({
      id: "listTails",
      method: "GET",
      path,
      tag: "Workers",
      summary: "List the tails of a Worker",
      needs: "workers:write",
      result: z.array(tailView.omit({ url: true })),
      handle: ({ params }) => {
        const { name } = existingWorkerOf(controlPlane.view, params);
        return { result: tails.of(name).map(({ id, expiresAt }) => ({ id, expires_at: isoTime(expiresAt) })) };
      },
    }),
    defineRoute({
      id: "deleteTail",
      method: "DELETE",
      path: `${path}/{tail_id}`,
      tag: "Workers",
      summary: "End a tail",
      needs: "workers:write",
      result: z.null(),
      handle: ({ params }) => {
        tails.close(params["tail_id"] ?? "");
        return { result: null };
      },
    }),
  ];
}
