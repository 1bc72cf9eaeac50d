// Who may come in: judged from the headers and the path of a request, before its body is read.

import type { IncomingHttpHeaders } from "node:http";
import { MillraceError } from "../core/index.ts";
import { tokenOf } from "./credentials.ts";
import { requireScope } from "./principal.ts";
import type { Authenticate, Principal } from "./principal.ts";
import type { RequestLimit } from "./request-limit.ts";
import type { Route } from "./route.ts";

export interface Gate {
  readonly accountId: string;
  readonly authenticate: Authenticate;
  readonly requestLimit: RequestLimit;
}

/** What is known of a request before its body; those of node:http are some. */
export interface RequestHead {
  readonly method?: string | undefined;
  readonly url?: string | undefined;
  /** By lower-case name. */
  readonly headers: IncomingHttpHeaders;
}

const nobody: Principal = { id: "", name: "nobody", scopes: [], queues: [] };

/**
 * `account`: the one that the path names; `undefined` where it names none.
 * Throws `UNAUTHORIZED`, `FORBIDDEN`, `ROUTE_NOT_FOUND` and `REQUEST_LIMIT_REACHED`.
 */
export function admit(route: Route, request: RequestHead, account: string | undefined, gate: Gate): Principal {
  if (route.needs === "nothing") return nobody;
  const token = tokenOf((name) => headerOf(request, name));
  const principal = gate.authenticate(token);
  if (principal === undefined) throw new MillraceError("UNAUTHORIZED", "The token is not valid, or no longer");
  if (account !== undefined && account !== gate.accountId) {
    if (!/^[0-9a-f]{32}$/i.test(account)) throw noRoute(request);
    throw new MillraceError("FORBIDDEN", `This server holds no account ${account}; its account is ${gate.accountId}`);
  }
  if (route.needs !== "token") requireScope(principal, route.needs);
  if (route.plane === "control") gate.requestLimit.take(principal);
  return principal;
}

export function noRoute({ method, url = "" }: RequestHead): MillraceError {
  const path = url.split("?", 1)[0] ?? "";
  return new MillraceError("ROUTE_NOT_FOUND", `No route for ${method} ${path.slice(0, 200)}`);
}

export function headerOf({ headers }: RequestHead, name: string): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value[0] : value;
}
