// Our error codes in Cloudflare's terms: number, HTTP status, and whether a client may try again.
// Sources: queues-contract.md section 13, rest-api.md section 2.

import type { ErrorCode } from "../core/index.ts";

export interface CloudflareError {
  /** `errors[].code` of the envelope. */
  readonly code: number;
  readonly status: number;
  /** Whether an automatic retry may help. Others are sent with `x-should-retry: false` where a client would retry. */
  readonly retryable: boolean;
  /** For 10xxx data-plane codes: the documented name. */
  readonly name?: string;
}

export const cloudflareErrors = {
  QUEUE_NOT_FOUND: { code: 11000, status: 404, retryable: false },
  UNAVAILABLE: { code: 15000, status: 503, retryable: true },
  UNKNOWN_OUTCOME: { code: 15000, status: 500, retryable: true },
  STORAGE_FULL: { code: 10251, status: 429, retryable: false, name: "QueueStorageLimitExceeded" },
  DATA_DAMAGED: { code: 15000, status: 500, retryable: false },
  DATA_LOCKED: { code: 15000, status: 503, retryable: true },
  DATA_UNWRITABLE: { code: 15000, status: 500, retryable: false },
  DATA_MOVED: { code: 15000, status: 500, retryable: false },
  DATA_TOO_NEW: { code: 15000, status: 500, retryable: false },
  ENGINE_CLOSED: { code: 15000, status: 503, retryable: true },
  CATALOG_CONFLICT: { code: 15000, status: 503, retryable: true },
  MESSAGE_TOO_LARGE: { code: 10204, status: 413, retryable: false, name: "MessageSizeOutOfBounds" },
  BATCH_TOO_LARGE: { code: 10205, status: 413, retryable: false, name: "BatchSizeOutOfBounds" },
  BATCH_COUNT_INVALID: { code: 10206, status: 413, retryable: false, name: "BatchCountOutOfBounds" },
  DELAY_INVALID: { code: 10203, status: 400, retryable: false, name: "MessageMetadataInvalid" },
  BATCH_DELAY_INVALID: { code: 10202, status: 400, retryable: false, name: "BatchDelayInvalid" },
  CONTENT_TYPE_INVALID: { code: 10203, status: 400, retryable: false, name: "MessageMetadataInvalid" },
  BODY_NOT_JSON: { code: 10208, status: 400, retryable: false, name: "JSONRequestBodyMalformed" },
  BACKLOG_FULL: { code: 10251, status: 429, retryable: false, name: "QueueStorageLimitExceeded" },
  RATE_LIMITED: { code: 10250, status: 429, retryable: true, name: "QueueOverloaded" },
  REQUEST_MALFORMED: { code: 10026, status: 400, retryable: false },
  REQUEST_INVALID: { code: 10026, status: 400, retryable: false },
  REQUEST_LIMIT_REACHED: { code: 971, status: 429, retryable: true },
  REQUEST_TOO_LARGE: { code: 10026, status: 413, retryable: false },
  UNSUPPORTED: { code: 10026, status: 400, retryable: false },
  QUEUE_NAME_INVALID: { code: 11003, status: 400, retryable: false },
  QUEUE_NAME_TAKEN: { code: 11009, status: 409, retryable: false },
  QUEUE_ID_MALFORMED: { code: 10107, status: 400, retryable: false, name: "QueueIDMalformed" },
  QUEUE_SETTINGS_INVALID: { code: 100128, status: 400, retryable: false },
  QUEUE_LIMIT_REACHED: { code: 11010, status: 403, retryable: false },
  QUEUE_PAUSED: { code: 10252, status: 409, retryable: false, name: "QueueDisabled" },
  CONSUMER_NOT_FOUND: { code: 11005, status: 404, retryable: false },
  CONSUMER_EXISTS: { code: 11004, status: 409, retryable: false },
  CONSUMER_SETTINGS_INVALID: { code: 100127, status: 400, retryable: false },
  CONSUMER_TYPE_MISMATCH: { code: 10026, status: 400, retryable: false },
  WORKER_NAME_INVALID: { code: 10016, status: 400, retryable: false },
  WORKER_NOT_FOUND: { code: 10007, status: 404, retryable: false },
  PORT_UNAVAILABLE: { code: 10026, status: 409, retryable: false },
  HOST_NOT_LOOPBACK: { code: 10026, status: 400, retryable: false },
  WORKER_HAS_NO_QUEUE_HANDLER: { code: 11001, status: 400, retryable: false },
  WORKER_INVALID: { code: 10021, status: 400, retryable: false },
  VERSION_NOT_FOUND: { code: 10007, status: 404, retryable: false },
  VERSION_NOT_DEPLOYED: { code: 10215, status: 400, retryable: false },
  TAIL_LIMIT_REACHED: { code: 10058, status: 429, retryable: false },
  NO_VERSIONS: { code: 10222, status: 404, retryable: false },
  SECRET_NOT_FOUND: { code: 10056, status: 404, retryable: false },
  BINDING_INVALID: { code: 10021, status: 400, retryable: false },
  INHERITED_BINDING_MISSING: { code: 10057, status: 400, retryable: false },
  BINDING_UNSUPPORTED: { code: 10021, status: 400, retryable: false },
  UNAUTHORIZED: { code: 10000, status: 401, retryable: false },
  FORBIDDEN: { code: 10000, status: 403, retryable: false },
  TOKEN_NOT_FOUND: { code: 1001, status: 404, retryable: false },
  ROUTE_NOT_FOUND: { code: 7003, status: 404, retryable: false },
  BACKUP_RUNNING: { code: 15000, status: 409, retryable: true },
  BACKUP_NOT_FOUND: { code: 1001, status: 404, retryable: false },
  SUBSCRIPTION_NOT_FOUND: { code: 11006, status: 404, retryable: false },
  SUBSCRIPTION_INVALID: { code: 0, status: 400, retryable: false },
  SETTING_UNSUPPORTED: { code: 15000, status: 500, retryable: false },
  INTERNAL: { code: 15000, status: 500, retryable: false, name: "UnknownInternalError" },
} as const satisfies Record<ErrorCode, CloudflareError>;

/**
 * Who answers, for Cloudflare numbers some errors differently: `control` manages queues and Workers, `data` takes messages
 * (binding and push), `pull` hands them out (pull, ack, peek, purge by ref).
 */
export type Plane = "control" | "data" | "pull";

const queueNotFound: CloudflareError = { code: 10104, status: 404, retryable: false, name: "QueueNotFound" };
const notPermitted: CloudflareError = { code: 10106, status: 403, retryable: false, name: "Unauthorized" };
const malformed: CloudflareError = { code: 10208, status: 400, retryable: false, name: "JSONRequestBodyMalformed" };

const overrides: Record<Plane, Partial<Record<ErrorCode, CloudflareError>>> = {
  control: {},
  data: {
    QUEUE_NOT_FOUND: queueNotFound,
    // Documented: a bad token on push is answered with 403.
    UNAUTHORIZED: { code: 10000, status: 403, retryable: false },
    FORBIDDEN: notPermitted,
    REQUEST_MALFORMED: malformed,
    REQUEST_INVALID: { code: 10207, status: 400, retryable: false, name: "JSONRequestBodyInvalid" },
    REQUEST_TOO_LARGE: { code: 10205, status: 413, retryable: false, name: "BatchSizeOutOfBounds" },
  },
  // A body that is JSON but not of the right shape is 10026 here (third-party clients tested against the live API).
  pull: {
    QUEUE_NOT_FOUND: queueNotFound,
    UNAUTHORIZED: { code: 10000, status: 403, retryable: false },
    FORBIDDEN: notPermitted,
    REQUEST_MALFORMED: malformed,
  },
};

/** An error in the terms of one of Cloudflare's planes. */
export function cloudflareError(code: ErrorCode, plane: Plane): CloudflareError {
  return overrides[plane][code] ?? cloudflareErrors[code];
}
