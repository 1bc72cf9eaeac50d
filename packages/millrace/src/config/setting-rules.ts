// What a single setting's text may be. A rule turns text into a value, or says in words what it expected.

import { isIP } from "node:net";
import { nearest } from "./nearest.ts";

export type RuleResult<T> =
  | { readonly kind: "value"; readonly value: T }
  /** `expected` completes "expected …"; `hint` is a sentence of its own. */
  | { readonly kind: "broken"; readonly expected: string; readonly hint?: string };

export type Rule<T> = (text: string) => RuleResult<T>;

const value = <T>(parsed: T): RuleResult<T> => ({ kind: "value", value: parsed });

/** Anything but nothing. */
export function nonEmpty(what: string): Rule<string> {
  return (text) => (text.trim() === "" ? { kind: "broken", expected: what } : value(text));
}

export function wholeNumber(min: number, max: number): Rule<number> {
  return (text) => {
    const parsed = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (parsed >= min && parsed <= max) return value(parsed);
    return { kind: "broken", expected: `a whole number from ${min} to ${max}` };
  };
}

/** A limit that may be switched off; `null`: off. */
export function wholeNumberOrOff(min: number, max: number): Rule<number | null> {
  const number = wholeNumber(min, max);
  return (text) => {
    if (text.toLowerCase() === "off") return value(null);
    const result = number(text);
    return result.kind === "value" ? result : { kind: "broken", expected: `${result.expected}, or off` };
  };
}

export function oneOf<const T extends string>(...known: readonly T[]): Rule<T> {
  return (text) => {
    const found = known.find((word) => word === text);
    if (found !== undefined) return value(found);
    const meant = nearest(text, known);
    const expected = known.length < 3 ? known.join(" or ") : `${known.slice(0, -1).join(", ")} or ${known.at(-1)}`;
    return { kind: "broken", expected, ...(meant === undefined ? {} : { hint: `Did you mean ${meant}?` }) };
  };
}

/** For variables; a flag of this kind takes no text. */
export const yesOrNo: Rule<boolean> = (text) => {
  if (["true", "1", "yes", "on"].includes(text.toLowerCase())) return value(true);
  if (["false", "0", "no", "off"].includes(text.toLowerCase())) return value(false);
  return { kind: "broken", expected: "true or false" };
};

const hostNamePattern = /^(?!-)[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})*$/;

/** An address or a name to bind; `[::1]` is accepted for `::1`. */
export const bindAddress: Rule<string> = (text) => {
  const address = text.startsWith("[") && text.endsWith("]") ? text.slice(1, -1) : text;
  const looksLikeAddress = /^[\d.]+$/.test(address);
  if (isIP(address) !== 0 || (!looksLikeAddress && hostNamePattern.test(address))) return value(address);
  return { kind: "broken", expected: "an IP address or a host name without a port" };
};

/** Only what survives an `Authorization` header as it is. */
export const bearerToken: Rule<string> = (text) =>
  /^[\x21-\x7e]{1,512}$/.test(text)
    ? value(text)
    : { kind: "broken", expected: "1 to 512 visible ASCII characters without spaces" };

export const accountId: Rule<string> = (text) =>
  /^[0-9a-f]{32}$/.test(text) ? value(text) : { kind: "broken", expected: "32 lower-case hex digits" };
