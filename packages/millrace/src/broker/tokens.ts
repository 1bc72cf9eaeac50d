// Decisions on access tokens: create, revoke. Pure; the token itself never comes here, only its hash.

import { deleteRecord, MillraceError, putRecord } from "../core/index.ts";
import type { CatalogView, EpochMs, QueueName, TokenRecord } from "../core/index.ts";
import type { CatalogDecision, DecisionContext } from "./control-plane.ts";

export interface CreateToken {
  readonly name: string;
  /** SHA-256 of the token, hex. */
  readonly sha256: string;
  readonly scopes: readonly string[];
  /** `null`: all queues. */
  readonly queues: readonly QueueName[] | null;
  readonly expiresAt: EpochMs | null;
}

export function createToken(
  _view: CatalogView,
  context: DecisionContext,
  command: CreateToken,
): CatalogDecision<TokenRecord> {
  const record: TokenRecord = {
    id: context.newId(),
    name: command.name,
    sha256: command.sha256,
    scopes: command.scopes,
    queues: command.queues,
    created_at_ms: context.now,
    expires_at_ms: command.expiresAt,
  };
  return {
    operations: [putRecord("token", record.id, record)],
    audit: [{ action: "CreateToken", resource: record.name, details: { token_id: record.id, scopes: record.scopes } }],
    result: record,
  };
}

/** Throws `TOKEN_NOT_FOUND`. The token is refused from the next request on. */
export function revokeToken(view: CatalogView, _context: DecisionContext, id: string): CatalogDecision<TokenRecord> {
  const record = view.get("token", id);
  if (record === undefined) throw new MillraceError("TOKEN_NOT_FOUND", `Token ${id.slice(0, 60)} does not exist`);
  return {
    operations: [deleteRecord("token", id)],
    audit: [{ action: "RevokeToken", resource: record.name, details: { token_id: id } }],
    result: record,
  };
}
