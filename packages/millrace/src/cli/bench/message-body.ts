// The messages that benchmarks send: JSON objects that begin with a number of their own.

import { numberMark } from "./http-load.ts";

const shortest = JSON.stringify({ id: numberMark, text: "" }).length;

/** The JSON of a message that is `bytes` long; at least 32. */
export function messageBody(bytes: number): string {
  return JSON.stringify({ id: numberMark, text: "x".repeat(Math.max(0, bytes - shortest)) });
}
