// Access tokens: create, list, revoke. An extension; the token itself is shown once, when it is made.

import { z } from "zod";
import { epochMs, MillraceError } from "../core/index.ts";
import type { EpochMs, TokenRecord } from "../core/index.ts";
import { createToken, revokeToken } from "../broker/index.ts";
import { parseQueueName } from "../contract/index.ts";
import { createdTokenView, createTokenBody, tokenView } from "../contract/rest/index.ts";
import { hashToken, makeToken } from "./authentication.ts";
import type { ApiDependencies } from "./dependencies.ts";
import { pageOf, pagingQuery } from "./paging.ts";
import { isoTime } from "./queue-view.ts";
import { defineRoute } from "./route.ts";
import type { Route } from "./route.ts";

const tag = "Millrace";
const reservedNames: ReadonlySet<string> = new Set(["administrator", "server"]);

export function tokenRoutes({ controlPlane, clock, random }: ApiDependencies): Route[] {
  const show = (record: TokenRecord): z.input<typeof tokenView> => ({
    id: record.id,
    name: record.name,
    scopes: [...record.scopes],
    queues: record.queues === null ? null : [...record.queues],
    created_on: isoTime(record.created_at_ms),
    expires_on: record.expires_at_ms === null ? null : isoTime(record.expires_at_ms),
    status: record.expires_at_ms !== null && record.expires_at_ms <= clock.now() ? "expired" : "active",
  });
  return [
    defineRoute({
      id: "createToken",
      method: "POST",
      path: "/millrace/tokens",
      tag,
      summary: "Make an access token; its value is shown this once",
      needs: "admin",
      body: createTokenBody,
      result: createdTokenView,
      handle: async ({ body, principal }) => {
        // These stand in the audit log for the first token and for the server itself.
        if (reservedNames.has(body.name))
          throw new MillraceError("REQUEST_INVALID", `name: ${body.name} is taken; choose another name`);
        const queues = body.queues?.map(parseQueueName) ?? null;
        if (queues !== null && !body.scopes.every((scope) => scope.startsWith("queues:"))) {
          throw new MillraceError(
            "REQUEST_INVALID",
            "queues: only queues:read and queues:write can be for certain queues",
          );
        }
        const expiresAt = body.expires_on === undefined ? null : parseExpiry(body.expires_on, clock.now());
        const value = makeToken(random);
        const record = await controlPlane.change(principal.name, (view, context) =>
          createToken(view, context, {
            name: body.name,
            sha256: hashToken(value),
            scopes: [...new Set(body.scopes)],
            queues,
            expiresAt,
          }),
        );
        return { result: { ...show(record), value } };
      },
    }),
    defineRoute({
      id: "listTokens",
      method: "GET",
      path: "/millrace/tokens",
      tag,
      summary: "List access tokens, without their values",
      needs: "admin",
      query: pagingQuery,
      result: z.array(tokenView),
      handle: ({ query }) => {
        const { items, info } = pageOf(controlPlane.view.all("token"), query);
        return { result: items.map(show), info };
      },
    }),
    defineRoute({
      id: "revokeToken",
      method: "DELETE",
      path: "/millrace/tokens/{token_id}",
      tag,
      summary: "Revoke an access token at once",
      needs: "admin",
      result: z.null(),
      handle: async ({ params, principal }) => {
        await controlPlane.change(principal.name, (view, context) =>
          revokeToken(view, context, params["token_id"] ?? ""),
        );
        return { result: null };
      },
    }),
  ];
}

function parseExpiry(text: string, now: EpochMs): EpochMs {
  const at = epochMs(Date.parse(text));
  if (at > now) return at;
  throw new MillraceError("REQUEST_INVALID", `expires_on: expected a time to come, got ${text}`);
}
