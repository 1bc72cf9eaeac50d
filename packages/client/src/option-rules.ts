// Checks numbers that users hand in.

import { QueueError } from "./errors.ts";
import type { WholeNumbers } from "./limits.ts";

/** Throws `OPTION_INVALID`. `undefined` passes: the option was not given. */
export function requireWholeNumber(name: string, value: number | undefined, { min, max, unit }: WholeNumbers): void {
  if (value === undefined || (Number.isInteger(value) && value >= min && value <= max)) return;
  throw QueueError.local(
    "OPTION_INVALID",
    `${name}: expected a whole number of ${unit} from ${min} to ${max}, got ${String(value)}`,
  );
}
