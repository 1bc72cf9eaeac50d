// The HTTP server: Fastify with the API's conventions around a table of routes.

import { Buffer } from "node:buffer";
import type { IncomingMessage } from "node:http";
import Fastify from "fastify";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { ErrorCode, Logger } from "../core/index.ts";
import { limits } from "../contract/index.ts";
import type { Plane } from "../contract/index.ts";
import { admit, headerOf, noRoute } from "./admission.ts";
import type { Gate } from "./admission.ts";
import { apiRoot } from "./api-root.ts";
import { envelopeHeaders, envelopeText, refusalOf } from "./envelope.ts";
import { FastLane } from "./fast-lane.ts";
import { layFastLane } from "./fast-requests.ts";
import { answerBrokenConnection, checkHost, closeAfter, serverOptions, tendEdges } from "./http-edges.ts";
import { originOf } from "./origin.ts";
import { PlainConnections } from "./plain-connections.ts";
import type { Principal } from "./principal.ts";
import { endOf } from "./request-end.ts";
import type { Answer, Route } from "./route.ts";

export interface ServerOptions extends Gate {
  readonly routes: readonly Route[];
  readonly logger: Logger;
  /** Aborted when the server stops, to end what waits. */
  readonly stopping: AbortSignal;
  /** Whether a request is for a WebSocket; `Upgrade: h2c` and the like stay ordinary requests. */
  readonly takesUpgrade: (request: IncomingMessage) => boolean;
}

/** Waits for a whole request at most this long; uploads included. */
const requestDeadlineMs = 120_000;

export interface BuiltServer {
  readonly server: FastifyInstance;
  /** Those that are not node:http's yet. */
  readonly connections: PlainConnections;
}

export function buildServer(options: ServerOptions): BuiltServer {
  const takesUpgrade = (request: IncomingMessage): boolean => {
    if (options.takesUpgrade(request)) return true;
    closeAfter(server.server, request);
    return false;
  };
  const server: FastifyInstance = Fastify({
    logger: false,
    http: { ...serverOptions, shouldUpgradeCallback: takesUpgrade },
    bodyLimit: limits.request.jsonBytes,
    requestTimeout: requestDeadlineMs,
    forceCloseConnections: "idle",
    routerOptions: { maxParamLength: 512 },
    clientErrorHandler: answerBrokenConnection,
    frameworkErrors: (error, request, reply) => void fail(options.logger, request, reply, error),
  });
  tendEdges(server.server);
  const lane = new FastLane(options);
  layFastLane(server.server, lane, options.stopping);
  const connections = new PlainConnections(server.server, lane, options.stopping);
  server.addHook("onRequest", (request, _reply, done) => {
    checkHost(request.raw);
    done();
  });
  server.setErrorHandler((error, request, reply) => fail(options.logger, request, reply, error));
  server.setNotFoundHandler((request, reply) => fail(options.logger, request, reply, noRoute(request.raw)));
  server.register((api, _options, done) => {
    registerRoutes(api, options);
    done();
  });
  return { server, connections };
}

/** What is known of a request once its headers were judged. */
interface Admission {
  readonly route: Route;
  readonly principal: Principal;
  readonly contentType: string | undefined;
}

function registerRoutes(api: FastifyInstance, options: ServerOptions): void {
  const admissions = new WeakMap<FastifyRequest, Admission>();
  const byKey = new Map<string, Route>();

  api.removeAllContentTypeParsers();
  api.addContentTypeParser("*", { parseAs: "buffer" }, (_request, body, done) => done(null, body));

  // Before the body is read: strangers cannot make the server take in an upload.
  api.addHook("onRequest", (request, _reply, done) => {
    const route = byKey.get(`${request.method === "HEAD" ? "GET" : request.method} ${request.routeOptions.url ?? ""}`);
    if (route === undefined) return done();
    // `/queues/`: nothing is named.
    const params = request.params as Readonly<Record<string, string>>;
    if (Object.values(params).includes("")) return done(noRoute(request.raw));
    try {
      const account = route.base === "account" ? params["account_id"] : undefined;
      const principal = admit(route, request.raw, account, options);
      admissions.set(request, { route, principal, contentType: headerOf(request.raw, "content-type") });
    } catch (error) {
      return done(error as Error);
    }
    // Bodies are parsed whatever their type is called, even where the name is no valid one (rest-api.md, rule 2).
    if (request.raw.headers["content-type"] !== undefined)
      request.raw.headers["content-type"] = "application/octet-stream";
    done();
  });

  for (const route of options.routes) {
    const url =
      apiRoot + (route.base === "account" ? "/accounts/:account_id" : "") + route.path.replaceAll(/\{(\w+)\}/g, ":$1");
    byKey.set(`${route.method} ${url}`, route);
    api.route({
      method: route.method,
      url,
      bodyLimit: route.maxBytes ?? limits.request.jsonBytes,
      config: { plane: route.plane, tooLarge: route.tooLarge },
      handler: async (request, reply) => {
        const admission = admissions.get(request);
        if (admission === undefined) throw new Error("a request came past its admission");
        return await serve(admission, request, reply, options.stopping);
      },
    });
  }
}

async function serve(
  { route, principal, contentType }: Admission,
  request: FastifyRequest,
  reply: FastifyReply,
  stopping: AbortSignal,
): Promise<FastifyReply> {
  const answer = await route.serve({
    params: request.params as Record<string, string>,
    query: request.query as Record<string, string | string[] | undefined>,
    bytes: request.body instanceof Uint8Array ? request.body : undefined,
    contentType,
    header: (name) => headerOf(request.raw, name),
    principal,
    goneOrStopping: () => endOf(request.raw.socket, (listener) => reply.raw.once("close", listener), stopping),
    origin: originOf(request.raw, request.raw.socket),
  });
  return succeed(reply, answer);
}

function succeed(reply: FastifyReply, answer: Answer<unknown>): FastifyReply {
  const { file, status } = answer;
  if (file !== undefined) {
    // With the length a client can tell a file that was cut short.
    const { type = "application/octet-stream" } = file;
    const headers = { ...file.headers, "content-type": type, "content-length": file.bytes };
    return reply.code(200).headers(headers).send(file.stream);
  }
  return sendJson(reply.code(status ?? 200), envelopeText(answer));
}

function fail(logger: Logger, request: FastifyRequest, reply: FastifyReply, thrown: unknown): FastifyReply {
  const route = request.routeOptions.config as { readonly plane?: Plane; readonly tooLarge?: ErrorCode };
  const { status, headers, envelope } = refusalOf(thrown, request.raw, route, logger);
  return sendJson(reply.code(status).headers(headers), JSON.stringify(envelope));
}

function sendJson(reply: FastifyReply, text: string): FastifyReply {
  return reply.headers(envelopeHeaders).send(Buffer.from(text));
}
