// Scheme, host and port under which a client reached this server.

import type { IncomingMessage } from "node:http";
import { headerOf } from "./admission.ts";

export function originOf(request: IncomingMessage): string {
  // A proxy that ends TLS says so. It decides only how this client is told to come back.
  const scheme = headerOf(request, "x-forwarded-proto") === "https" ? "https" : "http";
  const { localAddress = "localhost", localPort = 80 } = request.socket;
  return `${scheme}://${request.headers.host ?? `${localAddress}:${localPort}`}`;
}
