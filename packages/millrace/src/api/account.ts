// Who is asking and for which account: the calls behind `wrangler whoami`. Source: rest-api.md section 7.6.

import { z } from "zod";
import { accountView, membershipView, tokenStatus, userView } from "../contract/rest/index.ts";
import type { ApiDependencies } from "./dependencies.ts";
import { pageOf, pagingQuery } from "./paging.ts";
import { defineRoute } from "./route.ts";
import type { Route } from "./route.ts";

const tag = "Account";

export function accountRoutes({ accountId }: ApiDependencies): Route[] {
  const account: z.input<typeof accountView> = {
    id: accountId,
    name: "Millrace",
    type: "standard",
    settings: { enforce_twofactor: false },
  };
  return [
    defineRoute({
      id: "verifyToken",
      method: "GET",
      base: "root",
      path: "/user/tokens/verify",
      tag,
      summary: "Whether the token is good",
      needs: "token",
      result: tokenStatus,
      handle: ({ principal }) => ({
        result: { id: principal.id, status: "active" as const },
        messages: ["This API Token is valid and active"],
      }),
    }),
    defineRoute({
      id: "verifyAccountToken",
      method: "GET",
      path: "/tokens/verify",
      tag,
      summary: "Whether the token is good for the account",
      needs: "token",
      result: tokenStatus,
      handle: ({ principal }) => ({
        result: { id: principal.id, status: "active" as const },
        messages: ["This API Token is valid and active"],
      }),
    }),
    defineRoute({
      id: "getUser",
      method: "GET",
      base: "root",
      path: "/user",
      tag,
      summary: "The token's owner: a token is its own user here",
      needs: "token",
      result: userView,
      handle: ({ principal }) => ({
        result: {
          id: principal.id,
          // Not an address: nobody has one here. wrangler prints whatever stands in this field.
          email: `${principal.name}@millrace.invalid`,
          username: principal.name,
          first_name: null,
          last_name: null,
        },
      }),
    }),
    defineRoute({
      id: "listAccounts",
      method: "GET",
      base: "root",
      path: "/accounts",
      tag,
      summary: "The accounts of this server: one",
      needs: "token",
      query: pagingQuery,
      result: z.array(accountView),
      handle: ({ query }) => {
        const { items, info } = pageOf([account], query);
        return { result: [...items], info };
      },
    }),
    defineRoute({
      id: "getAccount",
      method: "GET",
      path: "",
      tag,
      summary: "The account",
      needs: "token",
      result: accountView,
      handle: () => ({ result: account }),
    }),
    defineRoute({
      id: "listMemberships",
      method: "GET",
      base: "root",
      path: "/memberships",
      tag,
      summary: "The token's memberships: one, in the account",
      needs: "token",
      query: pagingQuery,
      result: z.array(membershipView),
      handle: ({ query, principal }) => {
        const membership: z.input<typeof membershipView> = {
          id: accountId,
          status: "accepted",
          account,
          roles: [...principal.scopes],
        };
        const { items, info } = pageOf([membership], query);
        return { result: [...items], info };
      },
    }),
  ];
}
