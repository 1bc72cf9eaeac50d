// Reads values out of JSON that came from outside.

import { QueueError } from "./errors.ts";

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Throws `RESPONSE_INVALID` when a field of an answer is not what the API says it is. */
export function requireField<T extends "string" | "number">(
  from: Readonly<Record<string, unknown>>,
  field: string,
  type: T,
): T extends "string" ? string : number {
  const value = from[field];
  if (typeof value === type) return value as T extends "string" ? string : number;
  throw QueueError.local("RESPONSE_INVALID", `${field} of the answer: expected a ${type}, got ${typeof value}`);
}
