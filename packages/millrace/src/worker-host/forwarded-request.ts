// The headers a Worker sees of a request that came through the router, and those a client sees of its answer.

import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";

/** They are about one connection, not about the message. Source: RFC 9110 section 7.6.1; `expect` is answered by Node itself. */
const hopByHop: ReadonlySet<string> = new Set([
  "connection",
  "expect",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** Set here and nowhere else, so that a client cannot claim to be somebody else. */
const own: ReadonlySet<string> = new Set(["cf-connecting-ip", "x-forwarded-for", "x-forwarded-proto", "x-real-ip"]);

/** Name, value, name, value, … for the Worker. */
export function requestHeaders(request: IncomingMessage): string[] {
  const headers: string[] = [];
  const connection = listed(request.headers.connection);
  copy(request.rawHeaders, headers, (name) => hopByHop.has(name) || own.has(name) || connection.has(name));
  headers.push(...originHeaders(request));
  return headers;
}

/** The same for a WebSocket handshake, whose `Connection` and `Upgrade` are part of it. */
export function upgradeHeaders(request: IncomingMessage): string[] {
  const headers: string[] = [];
  copy(request.rawHeaders, headers, (name) => own.has(name));
  headers.push(...originHeaders(request));
  return headers;
}

/** Copies a Worker's answer for the client. `pairs` alternates names and values. */
export function responseHeaders(pairs: readonly (string | Buffer)[]): string[] {
  const headers: string[] = [];
  copy(pairs, headers, (name) => hopByHop.has(name));
  return headers;
}

function copy(pairs: readonly (string | Buffer)[], to: string[], leaveOut: (name: string) => boolean): void {
  for (let index = 0; index + 1 < pairs.length; index += 2) {
    const name = text(pairs[index]);
    if (!leaveOut(name.toLowerCase())) to.push(name, text(pairs[index + 1]));
  }
}

const text = (value: string | Buffer | undefined): string =>
  typeof value === "string" ? value : (value?.toString("latin1") ?? "");

const none: ReadonlySet<string> = new Set();
const listed = (value: string | undefined): ReadonlySet<string> =>
  value === undefined || value === "keep-alive" || value === "close"
    ? none
    : new Set(
        value
          .toLowerCase()
          .split(",")
          .map((name) => name.trim()),
      );

/** Where the request came from. A proxy on this machine is believed; anybody else speaks for itself alone. */
function originHeaders(request: IncomingMessage): string[] {
  const peer = addressOf(request.socket);
  const isProxied = isLoopback(peer);
  const forwarded = isProxied ? header(request, "x-forwarded-for") : undefined;
  const client = forwarded?.split(",").at(-1)?.trim() ?? peer;
  const proto = (isProxied ? header(request, "x-forwarded-proto") : undefined) === "https" ? "https" : "http";
  const chain = forwarded === undefined ? peer : `${forwarded}, ${peer}`;
  return ["CF-Connecting-IP", client, "X-Real-IP", client, "X-Forwarded-For", chain, "X-Forwarded-Proto", proto];
}

function header(request: IncomingMessage, name: string): string | undefined {
  const value = request.headers[name];
  return typeof value === "string" && value !== "" ? value : undefined;
}

const addressOf = (socket: Socket): string => (socket.remoteAddress ?? "").replace(/^::ffff:/, "");
const isLoopback = (address: string): boolean => address === "::1" || address.startsWith("127.");
