// Reads an event's fields for people. Whatever was emitted, reading never fails: a missing field shows as `?`.

import type { LogFields } from "../core/index.ts";

export class EventFields {
  readonly #fields: LogFields;

  constructor(fields: LogFields) {
    this.#fields = fields;
  }

  has(name: string): boolean {
    const value = this.#fields[name];
    return value !== undefined && value !== null && value !== "";
  }

  text(name: string): string {
    const value = this.#fields[name];
    if (typeof value === "string") return value;
    if (typeof value === "number" || typeof value === "boolean" || typeof value === "bigint") return String(value);
    return value === undefined || value === null ? "?" : (JSON.stringify(value) ?? "?");
  }

  /** Of an error, or the text itself. */
  message(name: string): string {
    const value = this.#fields[name];
    return value instanceof Error ? value.message : this.text(name);
  }

  stack(name: string): string | undefined {
    const value = this.#fields[name];
    return value instanceof Error ? value.stack : undefined;
  }

  /** 0 when it is no number. */
  number(name: string): number {
    const value = this.#fields[name];
    return typeof value === "number" ? value : 0;
  }

  /** `1 message`, `2 messages`. */
  count(name: string, noun: string): string {
    const value = this.#fields[name];
    return typeof value === "number" ? plural(value, noun) : `? ${noun}s`;
  }

  /** ` (3 ms)`, or nothing when the field is missing. */
  took(name = "ms"): string {
    const value = this.#fields[name];
    return typeof value === "number" ? ` (${span(value)})` : "";
  }
}

export function plural(count: number, noun: string): string {
  if (count === 1) return `1 ${noun}`;
  return `${count} ${noun.endsWith("ch") ? `${noun}es` : `${noun}s`}`;
}

/** A span of time as people write it: `0.4 ms`, `12 ms`, `1.5 s`, `5 s`, `2 min`, `3 h`, `4 days`. */
export function span(ms: number): string {
  if (ms < 10) return `${trimmed(ms, 1)} ms`;
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 120_000) return `${trimmed(ms / 1_000, ms < 10_000 ? 1 : 0)} s`;
  if (ms < 7_200_000) return `${trimmed(ms / 60_000, 0)} min`;
  if (ms < 172_800_000) return `${trimmed(ms / 3_600_000, 1)} h`;
  return `${trimmed(ms / 86_400_000, 1)} days`;
}

const trimmed = (value: number, digits: number): string => String(Number(value.toFixed(digits)));
