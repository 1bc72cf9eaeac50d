// Numbers on the command line, checked against the contract's limits.

import { InvalidArgumentError } from "commander";
import type { WholeNumberLimit } from "../contract/index.ts";

/** Parses an option's text; commander tells the option's name. */
export function numberWithin({ min, max, unit }: Omit<WholeNumberLimit, "default">): (text: string) => number {
  return (text) => {
    const parsed = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (parsed >= min && parsed <= max) return parsed;
    throw new InvalidArgumentError(`Expected a whole number of ${unit} from ${min} to ${max}.`);
  };
}
