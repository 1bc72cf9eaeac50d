// The token in a request's headers.

import { MillraceError } from "../core/index.ts";

/** Longer is no token of ours; not worth hashing. */
const maxTokenLength = 512;

/** Reads `Authorization: Bearer …`, or `X-Auth-Key` beside `X-Auth-Email`. Throws `UNAUTHORIZED`. */
export function tokenOf(header: (name: string) => string | undefined): string {
  const authorization = header("authorization");
  if (authorization !== undefined) {
    const token = /^bearer +(\S+)$/i.exec(authorization.trim())?.[1];
    if (token !== undefined && token.length <= maxTokenLength) return token;
    throw new MillraceError("UNAUTHORIZED", "The Authorization header carries no bearer token");
  }
  const key = header("x-auth-key");
  if (key === undefined) throw new MillraceError("UNAUTHORIZED", "The request carries no token");
  if (header("x-auth-email") === undefined)
    throw new MillraceError("UNAUTHORIZED", "X-Auth-Key needs X-Auth-Email beside it");
  if (key.length > maxTokenLength) throw new MillraceError("UNAUTHORIZED", "X-Auth-Key is no token of this server");
  return key;
}
