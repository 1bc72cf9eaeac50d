// Who is asking, and what they may do.

import { MillraceError } from "../core/index.ts";
import type { QueueName, QueueRecord } from "../core/index.ts";
import { allows } from "../contract/rest/index.ts";
import type { Scope } from "../contract/rest/index.ts";

export interface Principal {
  /** 32 hex digits. */
  readonly id: string;
  /** Stands in the audit log. */
  readonly name: string;
  readonly scopes: readonly Scope[];
  /** The only queues it is good for; `null`: all. */
  readonly queues: readonly QueueName[] | null;
}

/** Finds out who presents this token; `undefined`: nobody. Must take the same time for every wrong token. */
export type Authenticate = (token: string) => Principal | undefined;

/** Throws `FORBIDDEN`. */
export function requireScope(principal: Principal, needed: Scope): void {
  if (allows(principal.scopes, needed)) return;
  throw new MillraceError(
    "FORBIDDEN",
    `Token ${principal.name} has ${principal.scopes.join(", ")}; this needs ${needed}`,
  );
}

export function maySee(principal: Principal, queue: QueueRecord): boolean {
  return principal.queues === null || principal.queues.includes(queue.name);
}

/** Throws `FORBIDDEN` when the token is for certain queues and this is none of them. */
export function requireQueue(principal: Principal, queue: QueueRecord): void {
  if (maySee(principal, queue)) return;
  throw new MillraceError("FORBIDDEN", `Token ${principal.name} is not good for queue ${queue.name}`);
}

/** Throws `FORBIDDEN` for tokens that are for certain queues only: what concerns the account is not theirs. */
export function requireWholeAccount(principal: Principal): void {
  if (principal.queues === null) return;
  throw new MillraceError("FORBIDDEN", `Token ${principal.name} is good for certain queues only`);
}
