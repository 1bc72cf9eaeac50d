// The fast lane's door for requests of node:http: of connections that were handed over to it (plain-connections.ts).

import { Buffer } from "node:buffer";
import type { IncomingMessage, RequestListener, Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { envelopeHeaders } from "./envelope.ts";
import type { FastLane } from "./fast-lane.ts";
import { endOf } from "./request-end.ts";

/** The requests of one connection of which the first is being served. */
interface Line {
  newest: ServerResponse;
  waiting: number;
}

/**
 * Puts the lane before the framework that listens to this server already. Of a connection one request is served at a time:
 * node:http would begin all that came in one piece, and their answers may be megabytes each, of a client that need not read any.
 * While one waits for its turn nothing more is read: it may wait for as long as a pull does.
 */
export function layFastLane(server: Server, lane: FastLane, stopping: AbortSignal): void {
  const listeners = server.listeners("request") as RequestListener[];
  const lines = new WeakMap<Socket, Line>();
  server.removeAllListeners("request");
  server.on("request", (request: IncomingMessage, response: ServerResponse) => {
    const serve = (): void => {
      if (takes(lane, request, response, stopping)) return;
      for (const listener of listeners) listener.call(server, request, response);
    };
    const { socket } = request;
    const line = lines.get(socket);
    const before = line?.newest;
    if (line === undefined || before === undefined || before.writableFinished || before.destroyed) {
      lines.set(socket, { newest: response, waiting: 0 });
      serve();
      return;
    }
    line.newest = response;
    line.waiting += 1;
    holdBack(socket, line);
    before.once("close", () => {
      line.waiting -= 1;
      if (!socket.writable) return;
      serve();
      if (line.waiting === 0) socket.resume();
      else holdBack(socket, line);
    });
  });
}

/** In the next tick: at the end of each request, and when a body is asked for, node:http reads on by itself. */
function holdBack(socket: Socket, line: Line): void {
  process.nextTick(() => {
    if (line.waiting > 0) socket.pause();
  });
}

/** Answers a request, or says `false` and has not touched it. */
function takes(lane: FastLane, request: IncomingMessage, response: ServerResponse, stopping: AbortSignal): boolean {
  const { headers, httpVersionMinor } = request;
  if (httpVersionMinor !== 1 || headers["transfer-encoding"] !== undefined) return false;
  // The parser has seen to it that there is one length, in digits.
  const length = Number(headers["content-length"]);
  const recognised = lane.recognise(request, length);
  if (recognised === undefined) return false;
  const principal = lane.admit(recognised);
  if (principal === undefined) return false;
  readBody(request, length, (bytes) => {
    lane.serve(recognised, principal, bytes, {
      answer: (status, text, more) => send(response, status, text, more),
      goneOrStopping: () => endOf(request.socket, (listener) => response.once("close", listener), stopping),
    });
  });
  return true;
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
