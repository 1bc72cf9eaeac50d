// Schemas of single fields, and what is said about a value that does not fit one.

import { z } from "zod";
import type { WholeNumberLimit } from "../limits.ts";

/** A whole number within a limit of the contract's table. */
export function wholeNumber(limit: WholeNumberLimit): z.ZodInt {
  const error = `expected a whole number of ${limit.unit} from ${limit.min} to ${limit.max}`;
  return z.int({ error }).min(limit.min, { error }).max(limit.max, { error });
}

export const text = z.string({ error: "expected a string" });
export const flag = z.boolean({ error: "expected true or false" });
/** Any JSON value, `null` included, but present. */
export const anyJson = z.unknown().refine((value) => value !== undefined, { error: "expected a JSON value" });
export const jsonObject = z.record(z.string(), z.unknown(), { error: "expected an object" });

/** 32 hex digits. */
export const identifier = z.string().regex(/^[0-9a-f]{32}$/);
/** ISO 8601, UTC. */
export const timestamp = z.iso.datetime();

/** One broken rule, in words: `settings.batch_size: expected a whole number of messages from 1 to 100, got 500`. */
export interface FieldProblem {
  readonly path: readonly PropertyKey[];
  readonly words: string;
}

/** At most this many problems are told at once. */
const maxProblems = 10;

/** What is wrong with `input`, in the words of its schema. */
export function fieldProblems(error: z.core.$ZodError, input: unknown): readonly FieldProblem[] {
  return error.issues.slice(0, maxProblems).map(({ path, message }) => {
    const name = showPath(path);
    return { path, words: `${name === "" ? "body" : name}: ${message}, got ${show(valueAt(input, path))}` };
  });
}

function showPath(path: readonly PropertyKey[]): string {
  let shown = "";
  for (const key of path) {
    if (typeof key === "number") shown += `[${key}]`;
    else shown += shown === "" ? short(String(key)) : `.${short(String(key))}`;
  }
  return shown;
}

function valueAt(input: unknown, path: readonly PropertyKey[]): unknown {
  let value = input;
  for (const key of path) {
    if (typeof value !== "object" || value === null) return undefined;
    value = (value as Record<PropertyKey, unknown>)[key];
  }
  return value;
}

function show(value: unknown): string {
  if (value === undefined) return "nothing";
  if (Array.isArray(value)) return "an array";
  if (typeof value === "object" && value !== null) return "an object";
  // JSON has no other kinds of values; what was parsed from it always has a form.
  return short(JSON.stringify(value) ?? typeof value);
}

function short(words: string): string {
  return words.length > 60 ? `${words.slice(0, 60)}…` : words;
}
