// The HTTP server: Fastify with the API's conventions around a table of routes.

import type { IncomingMessage } from "node:http";
import Fastify from "fastify";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { MillraceError } from "../core/index.ts";
import type { ErrorCode, Logger } from "../core/index.ts";
import { limits } from "../contract/index.ts";
import type { Plane } from "../contract/index.ts";
import type { Envelope } from "../contract/rest/index.ts";
import { tokenOf } from "./credentials.ts";
import { failureOf } from "./failure.ts";
import { answerBrokenConnection, checkHost, serverOptions, tendEdges } from "./http-edges.ts";
import type { Authenticate, Principal } from "./principal.ts";
import { requireScope } from "./principal.ts";
import type { RequestLimit } from "./request-limit.ts";
import type { Answer, Route } from "./route.ts";

export const apiRoot = "/client/v4";

export interface ServerOptions {
  readonly routes: readonly Route[];
  readonly accountId: string;
  readonly authenticate: Authenticate;
  readonly logger: Logger;
  readonly requestLimit: RequestLimit;
  /** Aborted when the server stops, to end what waits. */
  readonly stopping: AbortSignal;
  /** Whether a request is for a WebSocket; `Upgrade: h2c` and the like stay ordinary requests. */
  readonly takesUpgrade: (request: IncomingMessage) => boolean;
}

/** Waits for a whole request at most this long; uploads included. */
const requestDeadlineMs = 120_000;

export function buildServer(options: ServerOptions): FastifyInstance {
  const server = Fastify({
    logger: false,
    http: { ...serverOptions, shouldUpgradeCallback: options.takesUpgrade },
    bodyLimit: limits.request.jsonBytes,
    requestTimeout: requestDeadlineMs,
    forceCloseConnections: "idle",
    routerOptions: { maxParamLength: 512 },
    clientErrorHandler: answerBrokenConnection,
    frameworkErrors: (error, request, reply) => void fail(options.logger, request, reply, error),
  });
  tendEdges(server.server);
  server.addHook("onRequest", (request, _reply, done) => {
    checkHost(request.raw);
    done();
  });
  server.setErrorHandler((error, request, reply) => fail(options.logger, request, reply, error));
  server.setNotFoundHandler((request, reply) => fail(options.logger, request, reply, notFound(request)));
  server.register((api, _options, done) => {
    registerRoutes(api, options);
    done();
  });
  return server;
}

function notFound(request: FastifyRequest): MillraceError {
  const path = request.url.split("?", 1)[0] ?? "";
  return new MillraceError("ROUTE_NOT_FOUND", `No route for ${request.method} ${path.slice(0, 200)}`);
}

/** What is known of a request once its headers were judged. */
interface Admission {
  readonly route: Route;
  readonly principal: Principal;
  readonly contentType: string | undefined;
}

const nobody: Principal = { id: "", name: "nobody", scopes: [], queues: [] };

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
    if (Object.values(request.params as Record<string, string>).includes("")) return done(notFound(request));
    try {
      const principal = route.needs === "nothing" ? nobody : admit(route, request, options);
      admissions.set(request, { route, principal, contentType: headerOf(request, "content-type") });
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
    header: (name) => headerOf(request, name),
    principal,
    goneOrStopping: () => endOf(request, reply, stopping),
    origin: originOf(request),
  });
  return succeed(reply, answer);
}

/**
 * Made only for requests that wait: every other one ends before anybody could tell it to. Nobody can tell a client that closed
 * its half from one that is gone before something is written, so either counts as gone.
 */
function endOf({ socket }: FastifyRequest, reply: FastifyReply, stopping: AbortSignal): AbortSignal {
  const end = new AbortController();
  const abort = (): void => end.abort();
  stopping.addEventListener("abort", abort);
  socket.once("end", abort);
  reply.raw.once("close", () => {
    stopping.removeEventListener("abort", abort);
    socket.off("end", abort);
    abort();
  });
  if (stopping.aborted || socket.readableEnded) abort();
  return end.signal;
}

function originOf(request: FastifyRequest): string {
  // A proxy that ends TLS says so. It decides only how this client is told to come back.
  const scheme = headerOf(request, "x-forwarded-proto") === "https" ? "https" : request.protocol;
  const { localAddress = "localhost", localPort = 80 } = request.socket;
  return `${scheme}://${request.headers.host ?? `${localAddress}:${localPort}`}`;
}

function admit(
  route: Route,
  request: FastifyRequest,
  { authenticate, accountId, requestLimit }: ServerOptions,
): Principal {
  const token = tokenOf((name) => headerOf(request, name));
  const principal = authenticate(token);
  if (principal === undefined) throw new MillraceError("UNAUTHORIZED", "The token is not valid, or no longer");
  if (route.base === "account") {
    const named = (request.params as { readonly account_id: string }).account_id;
    if (named !== accountId) {
      if (!/^[0-9a-f]{32}$/i.test(named)) throw notFound(request);
      throw new MillraceError("FORBIDDEN", `This server holds no account ${named}; its account is ${accountId}`);
    }
  }
  if (route.needs !== "token" && route.needs !== "nothing") requireScope(principal, route.needs);
  if (route.plane === "control") requestLimit.take(principal);
  return principal;
}

function succeed(reply: FastifyReply, { result, info, messages, status, file }: Answer<unknown>): FastifyReply {
  if (file !== undefined) {
    // With the length a client can tell a file that was cut short.
    const headers = { "content-type": "application/octet-stream", "content-length": file.bytes };
    return reply.code(200).headers(headers).send(file.stream);
  }
  const envelope: Envelope = {
    success: true,
    errors: [],
    messages: messages ?? [],
    result,
    ...(info !== undefined && { result_info: info }),
  };
  return sendJson(reply.code(status ?? 200), envelope);
}

function fail(logger: Logger, request: FastifyRequest, reply: FastifyReply, thrown: unknown): FastifyReply {
  const { plane, tooLarge } = request.routeOptions.config as { readonly plane?: Plane; readonly tooLarge?: ErrorCode };
  const failure = failureOf(thrown, plane ?? "control", tooLarge);
  const path = request.url.split("?", 1)[0];
  const fields = { method: request.method, path, status: failure.status, code: failure.error.code };
  if (failure.status >= 500) logger.error("api.failed", { ...fields, error: failure.error.cause ?? failure.error });
  else logger.debug("api.refused", { ...fields, reason: failure.error.detail });
  return sendJson(reply.code(failure.status).headers(failure.headers), failure.envelope);
}

const envelopeHeaders = {
  // Exactly this type, without a charset: JSON has one encoding, and clients compare the header.
  "content-type": "application/json",
  // Tells clients that `millrace_message_id` is known here.
  "millrace-message-ids": "known",
};

function sendJson(reply: FastifyReply, envelope: Envelope): FastifyReply {
  return reply.headers(envelopeHeaders).send(Buffer.from(JSON.stringify(envelope)));
}

function headerOf(request: FastifyRequest, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value[0] : value;
}
