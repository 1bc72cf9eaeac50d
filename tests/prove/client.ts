// Calls the server as any program does: the REST API, and the hosted Worker that sends through its binding.

import { token } from "./server-process.ts";
import type { Addresses } from "./server-process.ts";

export type Answer =
  | { readonly kind: "answered"; readonly status: number; readonly isGood: boolean; readonly result: unknown }
  /** The connection broke: what was asked for may have happened. */
  | { readonly kind: "unanswered" };

/** A call below the account. */
export async function callApi(
  { api, account }: Addresses,
  method: "GET" | "POST" | "PUT" | "PATCH",
  path: string,
  body?: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  return await call(`${api}/accounts/${account}${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, ...headers },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
}

/** A request to the Worker that sends. */
export async function callProducer({ workers }: Addresses, path: string, body: unknown): Promise<Answer> {
  return await call(`${workers}${path}`, { method: "POST", body: JSON.stringify(body) });
}

/** The result of a call that must succeed. */
export function resultOf(answer: Answer, what: string): unknown {
  if (answer.kind === "answered" && answer.isGood) return answer.result;
  throw new Error(`${what}: ${answer.kind === "answered" ? `status ${answer.status}` : "no answer"}`);
}

async function call(url: string, init: RequestInit): Promise<Answer> {
  try {
    const response = await fetch(url, init);
    const text = await response.text();
    const { status, ok: isGood } = response;
    const isJson = response.headers.get("content-type")?.includes("json") === true;
    return {
      kind: "answered",
      status,
      isGood,
      result: isJson ? (JSON.parse(text) as { result?: unknown }).result : undefined,
    };
  } catch {
    return { kind: "unanswered" };
  }
}
