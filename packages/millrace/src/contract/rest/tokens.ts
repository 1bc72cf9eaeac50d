// Access tokens over REST, and what a scope allows. An extension: Cloudflare manages tokens elsewhere.

import { z } from "zod";
import { identifier, text, timestamp } from "./fields.ts";

export const scopes = ["queues:read", "queues:write", "workers:write", "admin"] as const;
export type Scope = (typeof scopes)[number];

/**
 * What each scope may do besides its own. Cloudflare's queue endpoints accept tokens for Queues or for Workers Scripts
 * (rest-api.md section 1), so that one token is enough for `wrangler deploy`.
 */
const includes: Record<Scope, readonly Scope[]> = {
  "queues:read": ["queues:read"],
  "queues:write": ["queues:read", "queues:write"],
  "workers:write": ["queues:read", "queues:write", "workers:write"],
  admin: scopes,
};

/** Whether somebody with these scopes may do what `needed` allows. */
export function allows(held: readonly string[], needed: Scope): boolean {
  return held.some((scope) => includes[scope as Scope]?.includes(needed) ?? false);
}

export const createTokenBody = z.object(
  {
    name: text.min(1, { error: "expected 1 to 100 characters" }).max(100, { error: "expected 1 to 100 characters" }),
    scopes: z
      .array(z.enum(scopes, { error: `expected one of ${scopes.join(", ")}` }), {
        error: "expected an array of scopes",
      })
      .min(1, { error: "expected at least one scope" })
      .max(scopes.length, { error: `expected at most ${scopes.length} scopes` }),
    /** Names of the only queues it is good for. */
    queues: z
      .array(text, { error: "expected an array of queue names" })
      .min(1, { error: "expected at least one queue" })
      .max(1_000, { error: "expected at most 1000 queues" })
      .optional(),
    /** ISO 8601; absent: never. */
    expires_on: z.iso.datetime({ offset: true, error: "expected a time like 2027-01-31T00:00:00Z" }).optional(),
  },
  { error: "expected an object" },
);

export const tokenView = z.object({
  id: identifier,
  name: z.string(),
  scopes: z.array(z.string()),
  queues: z.array(z.string()).nullable(),
  created_on: timestamp,
  expires_on: timestamp.nullable(),
  status: z.enum(["active", "expired"]),
});

/** The only answer that ever shows the token itself. */
export const createdTokenView = tokenView.extend({ value: z.string() });
