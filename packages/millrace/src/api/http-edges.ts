// What Node's HTTP server would refuse without a word or drop by itself: answered in the envelope like everything else.

import { Buffer } from "node:buffer";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { MillraceError } from "../core/index.ts";
import { failureOf } from "./failure.ts";

/** For `createServer`: a missing host is refused by `checkHost`, in the envelope. */
export const serverOptions = { requireHostHeader: false } as const;

/** Listens for what never becomes a request. Called once, before the server listens. */
export function tendEdges(server: Server): void {
  // Undocumented, and there since the first versions: without it a client that closes its half after the request (`nc`, and
  // programs that shut a socket down for writing) is dropped before it is answered.
  (server as Server & { httpAllowHalfOpen: boolean }).httpAllowHalfOpen = true;
  server.on("checkExpectation", (_request: IncomingMessage, response: ServerResponse) => {
    const body = envelopeOf(malformed("The request expects something else than 100-continue"));
    response.writeHead(417, { "content-type": "application/json", "content-length": body.byteLength }).end(body);
  });
  server.on("connect", (_request: IncomingMessage, socket: Duplex) => {
    socket.on("error", () => socket.destroy());
    end(socket, "404 Not Found", new MillraceError("ROUTE_NOT_FOUND", "This server is no proxy: no route for CONNECT"));
  });
}

/**
 * For a request whose `Upgrade` is not taken, before it is served: it is the last of its connection. Node's parser stops behind
 * it and drops what came in the same piece, so whoever sent more at once must see that no answer comes.
 */
export function closeAfter(server: Server, request: IncomingMessage): void {
  server.prependOnceListener("request", (served: IncomingMessage, response: ServerResponse) => {
    if (served === request) response.shouldKeepAlive = false;
  });
}

/** Connections that break the protocol get the envelope too, as far as they can still read. */
export function answerBrokenConnection(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === "ECONNRESET" || !socket.writable) {
    socket.destroy();
    return;
  }
  const { status, words } = brokenConnections[error.code ?? ""] ?? {
    status: "400 Bad Request",
    words: "The request is not valid HTTP",
  };
  end(socket, status, malformed(words));
}

/** Throws `REQUEST_MALFORMED` for what RFC 9112 section 3.2 demands of HTTP/1.1. */
export function checkHost({ httpVersion, headers }: IncomingMessage): void {
  if (httpVersion === "1.1" && headers.host === undefined) throw malformed("The request has no Host header");
}

const brokenConnections: Readonly<Record<string, { readonly status: string; readonly words: string }>> = {
  HPE_HEADER_OVERFLOW: { status: "431 Request Header Fields Too Large", words: "The request's headers are too large" },
  ERR_HTTP_REQUEST_TIMEOUT: { status: "408 Request Timeout", words: "The request did not arrive in time" },
};

function malformed(detail: string): MillraceError {
  return new MillraceError("REQUEST_MALFORMED", detail);
}

function envelopeOf(error: MillraceError): Buffer {
  return Buffer.from(JSON.stringify(failureOf(error, "control").envelope));
}

function end(socket: Duplex, status: string, error: MillraceError): void {
  const body = envelopeOf(error);
  const head = `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nContent-Length: ${body.byteLength}\r\nConnection: close\r\n\r\n`;
  socket.end(Buffer.concat([Buffer.from(head), body]));
}
