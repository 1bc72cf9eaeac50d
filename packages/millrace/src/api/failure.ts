// What a client is told when something goes wrong: any thrown value to a status, headers and the envelope.

import { isMillraceError, MillraceError } from "../core/index.ts";
import type { ErrorCode } from "../core/index.ts";
import { cloudflareError } from "../contract/index.ts";
import type { Plane } from "../contract/index.ts";
import type { Envelope } from "../contract/rest/index.ts";

export interface Failure {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly envelope: Envelope;
  /** The operating error, or one made of the unexpected value; its code and cause are for the log. */
  readonly error: MillraceError;
}

/** Statuses after which the official SDK tries again by itself (rest-api.md section 1, rule 5). */
function clientsRetry(status: number): boolean {
  return status === 408 || status === 409 || status === 429 || status >= 500;
}

/** `tooLarge`: what a body beyond the route's limit means. */
export function failureOf(thrown: unknown, plane: Plane, tooLarge: ErrorCode = "REQUEST_TOO_LARGE"): Failure {
  const error = operatingError(thrown, tooLarge);
  const { code, status, retryable } = cloudflareError(error.code, plane);
  const headers: Record<string, string> = {};
  if (clientsRetry(status)) {
    if (retryable) Object.assign(headers, whenToRetry(error));
    else headers["x-should-retry"] = "false";
  }
  const errors = wordsOf(error).map((message) => ({ code, message }));
  return { status, headers, envelope: { success: false, errors, messages: [], result: null }, error };
}

/** The official SDK reads the milliseconds, everybody else the seconds. */
function whenToRetry({ fields }: MillraceError): Readonly<Record<string, string>> {
  const wait = typeof fields["retry_after_ms"] === "number" ? fields["retry_after_ms"] : 1_000;
  return { "retry-after": String(Math.ceil(wait / 1_000)), "retry-after-ms": String(Math.ceil(wait)) };
}

/** One entry an error; several where it names several things of which clients read each (`fields.each`). */
function wordsOf(error: MillraceError): readonly string[] {
  if (error.code === "INTERNAL") return [`Internal error. ${error.remedy}`];
  const { each } = error.fields;
  if (!Array.isArray(each) || each.length === 0) return [error.message];
  return each.map((words) => `${String(words)} (${error.code}). ${error.remedy}`);
}

/** What Fastify and Node throw at a request, by their codes. */
const foreignCodes: Readonly<Record<string, (error: Error, tooLarge: ErrorCode) => MillraceError>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: (cause, tooLarge) =>
    new MillraceError(tooLarge, "The request body is too large", { cause }),
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: (cause) =>
    new MillraceError("REQUEST_MALFORMED", "The request body is not as long as its Content-Length says", { cause }),
  FST_ERR_BAD_URL: (cause) => new MillraceError("ROUTE_NOT_FOUND", "The path is not validly encoded", { cause }),
  FST_ERR_MAX_PARAM_LENGTH: (cause) =>
    new MillraceError("ROUTE_NOT_FOUND", "A part of the path is too long", { cause }),
};

function operatingError(thrown: unknown, tooLarge: ErrorCode): MillraceError {
  if (isMillraceError(thrown)) return thrown;
  if (thrown instanceof Error && "code" in thrown && typeof thrown.code === "string") {
    const translate = foreignCodes[thrown.code];
    if (translate !== undefined) return translate(thrown, tooLarge);
  }
  // Fastify marks what the client did wrong, and a connection that breaks while the body is read, with a 4xx status.
  if (
    thrown instanceof Error &&
    "statusCode" in thrown &&
    typeof thrown.statusCode === "number" &&
    thrown.statusCode < 500
  ) {
    return new MillraceError("REQUEST_MALFORMED", "The request could not be read", { cause: thrown });
  }
  return new MillraceError("INTERNAL", "Something unexpected happened", { cause: thrown });
}
