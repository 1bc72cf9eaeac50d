// The bodies that are sent: a unique id, and padding that only this id can have, so that a body cut short or mixed up shows.
// Also runs inside the Workers.

export interface ProofBody {
  readonly id: string;
  readonly length: number;
  readonly pad: string;
}

/** What a consumer makes of a body. */
export interface ReadBody {
  readonly id: string;
  /** Nothing is missing and nothing is another message's. */
  readonly isIntact: boolean;
}

/** A message whose id ends so is retried by every consumer until it is a dead letter. */
const poisonSuffix = "-poison";

export const poisonous = (id: string): string => `${id}${poisonSuffix}`;
export const isPoison = (id: string): boolean => id.endsWith(poisonSuffix);

export function bodyOf(id: string, length: number): ProofBody {
  return { id, length, pad: padOf(id, length) };
}

/** Whatever its content type: an object, its JSON, the bytes of its JSON, or a `Map` of its fields. */
export function readBody(received: unknown): ReadBody {
  const body = fieldsOf(received);
  const { id, length, pad } = body;
  if (typeof id !== "string" || typeof length !== "number") return { id: String(id), isIntact: false };
  return { id, isIntact: pad === padOf(id, length) };
}

function padOf(id: string, length: number): string {
  return id.repeat(Math.ceil(length / id.length)).slice(0, length);
}

function fieldsOf(received: unknown): Readonly<Record<string, unknown>> {
  if (typeof received === "string") return JSON.parse(received) as Record<string, unknown>;
  if (received instanceof Uint8Array) return fieldsOf(new TextDecoder().decode(received));
  if (received instanceof Map) return Object.fromEntries(received as Map<string, unknown>);
  return received as Record<string, unknown>;
}
