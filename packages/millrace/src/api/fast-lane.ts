// Requests that come by the thousand: messages pushed, pulled and acknowledged, in the shape in which every client asks for it.
// They are answered beside the framework, which costs a push more than all the rest of its way through this layer. Whatever is
// unusual about a request (a query, another account, a bad token, a chunked or overlong body, a server that stops) is left to
// the framework with its body unread, so there is one place that knows how to refuse it.

import { Buffer } from "node:buffer";
import type { IncomingMessage, RequestListener, Server, ServerResponse } from "node:http";
import type { Logger } from "../core/index.ts";
import { limits } from "../contract/index.ts";
import { admit, headerOf } from "./admission.ts";
import type { Gate } from "./admission.ts";
import { apiRoot } from "./api-root.ts";
import { envelopeHeaders, envelopeText, refusalOf } from "./envelope.ts";
import { originOf } from "./origin.ts";
import type { Principal } from "./principal.ts";
import { endOf } from "./request-end.ts";
import type { Answer, Route } from "./route.ts";

export interface LaneOptions extends Gate {
  readonly routes: readonly Route[];
  readonly logger: Logger;
  /** Aborted when the server stops. */
  readonly stopping: AbortSignal;
}

/** Puts the lane before the framework that listens to this server already. */
export function layFastLane(server: Server, options: LaneOptions): void {
  const takes = fastLane(options);
  const listeners = server.listeners("request") as RequestListener[];
  server.removeAllListeners("request");
  server.on("request", (request: IncomingMessage, response: ServerResponse) => {
    if (takes(request, response)) return;
    for (const listener of listeners) listener.call(server, request, response);
  });
}

const queuePath = "/queues/{queue_id}";
const idLength = 32;
const idPattern = /^[0-9a-f]{32}$/;
const noQuery = {};

/** Answers a request, or says `false` and has not touched it. */
function fastLane(options: LaneOptions): (request: IncomingMessage, response: ServerResponse) => boolean {
  const { accountId, stopping } = options;
  const start = `${apiRoot}/accounts/${accountId}/queues/`;
  const idEnd = start.length + idLength;
  const byAction = new Map<string, Route>();
  for (const route of options.routes) {
    const isJson = route.upload === undefined && route.download === undefined;
    if (isJson && route.plane !== "control" && route.method === "POST" && route.path.startsWith(`${queuePath}/`)) {
      byAction.set(route.path.slice(queuePath.length), route);
    }
  }
  return (request, response) => {
    const { url = "", method, headers, httpVersionMinor } = request;
    if (method !== "POST" || !url.startsWith(start) || stopping.aborted) return false;
    const route = byAction.get(url.slice(idEnd));
    const queueId = url.slice(start.length, idEnd);
    if (route === undefined || !idPattern.test(queueId)) return false;
    // The parser has seen to it that there is one length, in digits.
    const length = Number(headers["content-length"]);
    if (httpVersionMinor !== 1 || headers.host === undefined) return false;
    if (!(length <= (route.maxBytes ?? limits.request.jsonBytes)) || headers["transfer-encoding"] !== undefined)
      return false;
    let principal: Principal;
    try {
      principal = admit(route, request, accountId, options);
    } catch {
      return false;
    }
    readBody(request, length, (bytes) => {
      serve(route, { queueId, principal, bytes, request, response }, options);
    });
    return true;
  };
}

/** Calls once with the whole body; never when the connection breaks before. */
function readBody(request: IncomingMessage, length: number, whole: (bytes: Buffer | undefined) => void): void {
  if (length === 0) {
    request.resume();
    whole(undefined);
    return;
  }
  let pieces: Buffer[] | undefined;
  let missing = length;
  request.on("data", (piece: Buffer) => {
    missing -= piece.length;
    if (pieces === undefined && missing === 0) {
      whole(piece); // nearly always
      return;
    }
    pieces ??= [];
    pieces.push(piece);
    if (missing === 0) whole(Buffer.concat(pieces, length));
  });
}

interface LaneCall {
  readonly queueId: string;
  readonly principal: Principal;
  readonly bytes: Buffer | undefined;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

function serve(route: Route, call: LaneCall, { accountId, stopping, logger }: LaneOptions): void {
  const { queueId, principal, bytes, request, response } = call;
  const succeed = (answer: Answer<unknown>): void => {
    send(response, answer.status ?? 200, envelopeText(answer));
  };
  const fail = (thrown: unknown): void => {
    const { status, headers, envelope } = refusalOf(thrown, request, route, logger);
    send(response, status, JSON.stringify(envelope), headers);
  };
  try {
    const served = route.serve({
      params: { account_id: accountId, queue_id: queueId },
      query: noQuery,
      bytes,
      contentType: request.headers["content-type"],
      header: (name) => headerOf(request, name),
      principal,
      goneOrStopping: () => endOf(request, response, stopping),
      origin: originOf(request),
    });
    if (served instanceof Promise) served.then(succeed).catch(fail);
    else succeed(served);
  } catch (error) {
    fail(error);
  }
}

/** One string, so that head and body go out in one write. */
function send(
  response: ServerResponse,
  status: number,
  text: string,
  more: Readonly<Record<string, string>> = noHeaders,
): void {
  const length = Buffer.byteLength(text);
  const headers = [...usualHeaders, "content-length", String(length)];
  for (const name of Object.keys(more)) headers.push(name, more[name] ?? "");
  response.writeHead(status, headers);
  // What is ASCII is written faster as what it is.
  response.end(text, length === text.length ? "latin1" : "utf8");
}

const usualHeaders = Object.entries(envelopeHeaders).flat();
const noHeaders = {};
