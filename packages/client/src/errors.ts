// What can go wrong without a bug: one error with a stable code, the HTTP status where there was one, and whether trying
// again may help. Wrong arguments for which a Worker's binding throws a TypeError get the same TypeError here.

/** Codes are API: never reused, never reworded away. The remedy ends the message of errors found here, not by the server. */
const errorCatalogue = {
  OPTION_INVALID: { remedy: "Mend the option named." },
  QUEUE_NAME_INVALID: {
    remedy: "Use 1 to 63 letters, digits and dashes that begin and end with a letter or digit, or the queue's id.",
  },
  CONTENT_TYPE_UNSUPPORTED: {
    remedy: "Send base64 in a text or json message, or send from a Worker, whose binding takes bytes and v8.",
  },
  MESSAGE_TOO_LARGE: { remedy: "Store the payload elsewhere and send its key." },
  BATCH_TOO_LARGE: { remedy: "Send the messages in several smaller batches." },
  BATCH_COUNT_INVALID: { remedy: "Send 1 to 100 messages in a batch." },
  DELAY_INVALID: { remedy: "Use a whole number of seconds from 0 to 86400." },
  TOO_MANY_WAITING: {
    remedy: "Wait for earlier sends before the next ones; they go as fast as the server takes them.",
  },
  QUEUE_NOT_FOUND: { remedy: "Create it: wrangler queues create <name>." },
  ROUTE_NOT_FOUND: { remedy: "Check baseUrl and accountId." },
  UNAUTHORIZED: { remedy: "Use a valid token that may read and write this queue." },
  QUEUE_PAUSED: { remedy: "Resume its delivery." },
  REQUEST_REFUSED: { remedy: "See the server's reason." },
  RATE_LIMITED: { remedy: "Send more slowly." },
  STORAGE_FULL: { remedy: "Consume or purge messages, or free space on the server." },
  UNAVAILABLE: { remedy: "Try again later." },
  CONNECTION_FAILED: { remedy: "Check baseUrl, and that the server runs." },
  TIMEOUT: { remedy: "Try again, or raise requestTimeoutMs." },
  RESPONSE_INVALID: { remedy: "Check that baseUrl leads to the REST API; it ends in /client/v4." },
  STOPPED: { remedy: "Nothing is wrong: it was asked to stop." },
} as const satisfies Record<string, { readonly remedy: string }>;

export type QueueErrorCode = keyof typeof errorCatalogue;

export interface QueueErrorFields extends ErrorOptions {
  /** HTTP status; absent when no answer came, or none was asked for. */
  readonly status?: number | undefined;
  readonly retryable?: boolean | undefined;
  /** `errors[].code` of the answer: Cloudflare's numbers. */
  readonly cloudflareCodes?: readonly number[] | undefined;
  /** How long the server asks to wait before the next try. */
  readonly retryAfterMs?: number | undefined;
}

export class QueueError extends Error {
  override readonly name = "QueueError";
  readonly code: QueueErrorCode;
  readonly status: number | undefined;
  /** Whether the same call may succeed later. The client has tried that already, as often as its `retry` option says. */
  readonly retryable: boolean;
  readonly cloudflareCodes: readonly number[];
  readonly retryAfterMs: number | undefined;

  private constructor(code: QueueErrorCode, message: string, fields: QueueErrorFields) {
    super(message, fields);
    this.code = code;
    this.status = fields.status;
    this.retryable = fields.retryable ?? false;
    this.cloudflareCodes = fields.cloudflareCodes ?? [];
    this.retryAfterMs = fields.retryAfterMs;
  }

  /** An error found by the client: `detail` is one sentence without full stop. */
  static local(code: QueueErrorCode, detail: string, fields: QueueErrorFields = {}): QueueError {
    return new QueueError(code, `${detail} (${code}). ${errorCatalogue[code].remedy}`, fields);
  }

  /** An error that the server told in its own words. */
  static told(code: QueueErrorCode, words: string, status: number, fields: QueueErrorFields): QueueError {
    const numbers = (fields.cloudflareCodes ?? []).map((number) => `, code ${number}`).join("");
    return new QueueError(code, `${words} [HTTP ${status}${numbers}]`, { ...fields, status });
  }
}

/** Cloudflare's numbers that say more than the status does. Source: developers.cloudflare.com/queues, error codes. */
const codeOfNumber: ReadonlyMap<number, QueueErrorCode> = new Map([
  [7003, "ROUTE_NOT_FOUND"],
  [10104, "QUEUE_NOT_FOUND"],
  [11000, "QUEUE_NOT_FOUND"],
  [10107, "QUEUE_NOT_FOUND"],
  [10106, "UNAUTHORIZED"],
  [10202, "DELAY_INVALID"],
  [10204, "MESSAGE_TOO_LARGE"],
  [10205, "BATCH_TOO_LARGE"],
  [10206, "BATCH_COUNT_INVALID"],
  [10250, "RATE_LIMITED"],
  [10251, "STORAGE_FULL"],
  [10252, "QUEUE_PAUSED"],
]);

export function codeOf(status: number, numbers: readonly number[]): QueueErrorCode {
  for (const number of numbers) {
    const code = codeOfNumber.get(number);
    if (code !== undefined) return code;
  }
  if (status === 401 || status === 403) return "UNAUTHORIZED";
  if (status === 404) return numbers.length === 0 ? "ROUTE_NOT_FOUND" : "QUEUE_NOT_FOUND"; // without an envelope: not the API
  if (status === 409) return "QUEUE_PAUSED"; // of what this client asks, only a pull from a paused queue conflicts
  if (status === 429) return "RATE_LIMITED";
  return status === 408 || status >= 500 ? "UNAVAILABLE" : "REQUEST_REFUSED";
}

/** Whether one of several messages sent together may be the reason, so that the others deserve a try without it. */
export function mayBeOneOfMany(error: unknown): boolean {
  return error instanceof QueueError && (error.status === 400 || error.status === 413 || error.status === 422);
}

/** Whether a request that failed so may nevertheless have been carried out: its answer is what failed. */
export function mayHaveHappened(error: unknown): boolean {
  if (!(error instanceof QueueError)) return true;
  return error.status === undefined ? error.code !== "STOPPED" : error.status >= 500;
}

/** Whether waiting cannot help: the queue, the token or the request itself is wrong. */
export function isFinal(error: unknown): boolean {
  if (!(error instanceof QueueError)) return true;
  const { status, retryable, code } = error;
  if (retryable || code === "QUEUE_PAUSED") return false;
  return status === undefined ? code !== "RESPONSE_INVALID" : status >= 400 && status < 500 && status !== 429;
}
