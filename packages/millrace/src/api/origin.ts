// Scheme, host and port under which a client reached this server.

import type { IncomingMessage } from "node:http";
import { headerOf } from "./admission.ts";

export function originOf(request: IncomingMessage): string {
  // A proxy that ends TLS says so. It decides only how this client is told to come back.
  const scheme = headerOf(request, "x-forwarded-proto") === "https" ? "https" : "http";
  return `${scheme}://${request.headers.host ?? ownAddress(request)}`;
}

/** Asks the system, so only when it is needed: that took a thirtieth of a push. */
function ownAddress({ socket }: IncomingMessage): string {
  const { localAddress = "localhost", localPort = 80 } = socket;
  return `${localAddress}:${localPort}`;
}
