// Answers as JSON text: the envelope around a result, and what is told of a refusal.

import type { ErrorCode, Logger } from "../core/index.ts";
import type { Plane } from "../contract/index.ts";
import type { Envelope } from "../contract/rest/index.ts";
import type { RequestHead } from "./admission.ts";
import { failureOf } from "./failure.ts";
import type { Failure } from "./failure.ts";
import { ResultText } from "./route.ts";
import type { Answer } from "./route.ts";

/** Of every answer with an envelope. */
export const envelopeHeaders = {
  // Exactly this type, without a charset: JSON has one encoding, and clients compare the header.
  "content-type": "application/json",
  // Tells clients that `millrace_message_id` is known here.
  "millrace-message-ids": "known",
};

export function envelopeText({ result, info, messages }: Omit<Answer<unknown>, "status" | "file">): string {
  if (result instanceof ResultText) return `{"success":true,"errors":[],"messages":[],"result":${result.json}}`;
  const envelope: Envelope = {
    success: true,
    errors: [],
    messages: messages ?? [],
    result,
    ...(info !== undefined && { result_info: info }),
  };
  return JSON.stringify(envelope);
}

/** Makes the answer to what a request threw, and logs it. */
export function refusalOf(
  thrown: unknown,
  request: RequestHead,
  { plane = "control", tooLarge }: { readonly plane?: Plane | undefined; readonly tooLarge?: ErrorCode | undefined },
  logger: Logger,
): Failure {
  const failure = failureOf(thrown, plane, tooLarge);
  const path = (request.url ?? "").split("?", 1)[0];
  const fields = { method: request.method, path, status: failure.status, code: failure.error.code };
  if (failure.status >= 500) logger.error("api.failed", { ...fields, error: failure.error.cause ?? failure.error });
  else logger.debug("api.refused", { ...fields, reason: failure.error.detail });
  return failure;
}
