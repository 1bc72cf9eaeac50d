// Scheme, host and port under which a client reached this server.

import type { Socket } from "node:net";
import { headerOf } from "./admission.ts";
import type { RequestHead } from "./admission.ts";

/** `socket`: where the request came from, for the case that it names no host. */
export function originOf(request: RequestHead, socket?: Socket): string {
  // A proxy that ends TLS says so. It decides only how this client is told to come back.
  const scheme = headerOf(request, "x-forwarded-proto") === "https" ? "https" : "http";
  return `${scheme}://${request.headers.host ?? ownAddress(socket)}`;
}

/** Asks the system, so only when it is needed: that took a thirtieth of a push. */
function ownAddress(socket: Socket | undefined): string {
  const { localAddress = "localhost", localPort = 80 } = socket ?? {};
  return `${localAddress}:${localPort}`;
}
