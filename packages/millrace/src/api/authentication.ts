// Tokens: making them, and telling whose one is. Only hashes are stored and compared.

import { Buffer } from "node:buffer";
import { createHash, timingSafeEqual } from "node:crypto";
import type { CatalogView, Clock, Random, TokenRecord } from "../core/index.ts";
import type { Scope } from "../contract/rest/index.ts";
import type { Authenticate, Principal } from "./principal.ts";

/** A new token: recognisable, and 256 random bits. */
export function makeToken(random: Random): string {
  return `mr_${Buffer.from(random.bytes(32)).toString("base64url")}`;
}

/** SHA-256 in hex. Enough for tokens with 256 random bits; a password would need more. */
export function hashToken(token: string): string {
  return createHash("sha256").update(token, "utf8").digest("hex");
}

export interface TokenSources {
  /** The administrator's token from the settings or the data folder. */
  readonly adminToken: string;
  /** The catalog as it is now. */
  readonly catalog: () => CatalogView;
  readonly clock: Clock;
}

/** Tokens whose hashes are kept at once; a server has a few. */
const maxKept = 1_000;

/**
 * Recognises the administrator's token and those of the catalog. What is compared are hashes, the administrator's in constant
 * time and the others by looking the hash up: how long that takes tells nothing about a token that is not known already.
 *
 * The hash of a token that was good is kept: making it takes 5 of the 35 µs that a push costs. Whether it still is good is asked
 * anew each time, and a wrong token is always hashed.
 */
export function tokenAuthenticator({ adminToken, catalog, clock }: TokenSources): Authenticate {
  const adminHash = hashToken(adminToken);
  const admin: Principal = { id: adminHash.slice(0, 32), name: "administrator", scopes: ["admin"], queues: null };
  let known: { readonly revision: number; readonly byHash: ReadonlyMap<string, TokenRecord> } | undefined;
  const kept = new Map<string, string>();

  const ofCatalog = (hash: string): Principal | undefined => {
    const view = catalog();
    if (known?.revision !== view.revision) {
      known = { revision: view.revision, byHash: new Map(view.all("token").map((record) => [record.sha256, record])) };
    }
    const record = known.byHash.get(hash);
    if (record === undefined || (record.expires_at_ms !== null && record.expires_at_ms <= clock.now()))
      return undefined;
    return { id: record.id, name: record.name, scopes: record.scopes as readonly Scope[], queues: record.queues };
  };
  const isAdmin = (hash: string): boolean => timingSafeEqual(Buffer.from(hash), Buffer.from(adminHash));

  return (token) => {
    const keptHash = kept.get(token);
    const hash = keptHash ?? hashToken(token);
    if (keptHash === undefined ? isAdmin(hash) : keptHash === adminHash) {
      keep(token, hash);
      return admin;
    }
    const principal = ofCatalog(hash);
    if (principal === undefined) kept.delete(token);
    else keep(token, hash);
    return principal;
  };

  function keep(token: string, hash: string): void {
    if (kept.has(token)) return;
    if (kept.size >= maxKept) kept.clear();
    kept.set(token, hash);
  }
}
