// The one catalogue of operating errors: what can go wrong without a bug. Codes are API: never reused, never reworded away.
// `remedy` says what to do. Cloudflare's numbers and HTTP statuses are mapped in contract/, from these codes.

export const errorCatalogue = {
  // storage
  QUEUE_NOT_FOUND: {
    remedy: "Create it: millrace wrangler queues create <name>. `millrace queues list` shows what exists.",
  },
  UNAVAILABLE: { remedy: "Nothing was stored; send it again." },
  UNKNOWN_OUTCOME: { remedy: "It may have been stored; send it again, a duplicate is possible." },
  STORAGE_FULL: {
    remedy: "Free space on the disk that holds the data folder, then send again; nothing accepted before is lost.",
  },
  DATA_DAMAGED: { remedy: "Run `millrace doctor --deep`; restore a backup if it says so." },
  DATA_LOCKED: { remedy: "Stop the other server, or start this one with another --data folder." },
  DATA_UNWRITABLE: {
    remedy:
      "Make the data folder and all in it writable for the user that runs the server (chown, or mount it read-write), then start it again.",
  },
  DATA_MOVED: { remedy: "Put the data back in its place while no server runs, then start the server again." },
  DATA_TOO_NEW: { remedy: "Start the version of Millrace that wrote this data folder, or a newer one." },
  ENGINE_CLOSED: { remedy: "The server is stopping; try again when it is back." },
  CATALOG_CONFLICT: { remedy: "Somebody else changed the settings at the same moment; try again." },
  // sending
  MESSAGE_TOO_LARGE: { remedy: "Store the payload elsewhere and send its key." },
  BATCH_TOO_LARGE: { remedy: "Send the messages in several smaller batches." },
  BATCH_COUNT_INVALID: { remedy: "Send 1 to 100 messages in a batch." },
  DELAY_INVALID: { remedy: "Use a whole number of seconds from 0 to 86400." },
  BATCH_DELAY_INVALID: { remedy: "Use a whole number of seconds from 0 to 86400." },
  CONTENT_TYPE_INVALID: { remedy: "Use json, text, bytes or v8 (over REST: json or text)." },
  BODY_NOT_JSON: { remedy: "Send valid JSON, or use content type text." },
  BACKLOG_FULL: { remedy: "Consume or purge messages, or raise the queue's backlog limit." },
  RATE_LIMITED: { remedy: "Send more slowly, or raise the limit." },
  // requests
  REQUEST_MALFORMED: { remedy: "Send well-formed HTTP, with a body of JSON in UTF-8." },
  REQUEST_INVALID: { remedy: "See the field named in the message." },
  REQUEST_LIMIT_REACHED: { remedy: "Wait as long as Retry-After says, or raise the server's request limit." },
  REQUEST_TOO_LARGE: { remedy: "Send a smaller request body." },
  UNSUPPORTED: { remedy: "Leave it out; docs/reference/compatibility.md lists what Millrace has." },
  QUEUE_NAME_INVALID: { remedy: "Use 1 to 63 letters, digits and dashes; begin and end with a letter or digit." },
  QUEUE_NAME_TAKEN: { remedy: "Choose another name, or use the queue that exists." },
  QUEUE_ID_MALFORMED: { remedy: "Use the 32 hex digits that `millrace queues info <name>` shows." },
  QUEUE_SETTINGS_INVALID: { remedy: "See the setting named in the message." },
  QUEUE_LIMIT_REACHED: { remedy: "Delete queues that are no longer used." },
  QUEUE_PAUSED: { remedy: "Resume it: millrace queues resume <name>." },
  CONSUMER_NOT_FOUND: { remedy: "`millrace queues info <name>` shows the consumer." },
  CONSUMER_EXISTS: { remedy: "Remove the queue's consumer first; a queue has one." },
  CONSUMER_SETTINGS_INVALID: { remedy: "See the setting named in the message." },
  CONSUMER_TYPE_MISMATCH: { remedy: "Attach an http_pull consumer to the queue before pulling." },
  WORKER_NAME_INVALID: {
    remedy: "Use 1 to 63 letters, digits, dashes and underscores; neither begin nor end with a dash.",
  },
  WORKER_NOT_FOUND: { remedy: "Deploy it: millrace wrangler deploy. `millrace workers list` shows what exists." },
  PORT_UNAVAILABLE: { remedy: "Choose another port above 1023, or 0 for any free one." },
  HOST_NOT_LOOPBACK: {
    remedy:
      "Keep 127.0.0.1 behind a proxy that ends TLS, or start the server with --insecure if every machine that can reach it is trusted.",
  },
  WORKER_HAS_NO_QUEUE_HANDLER: {
    remedy: "Export a queue(batch, env, ctx) handler from the Worker and deploy it again.",
  },
  WORKER_INVALID: { remedy: "Mend the script and deploy it again; the version before keeps running." },
  VERSION_NOT_FOUND: { remedy: "`millrace workers info <name>` lists the versions." },
  VERSION_NOT_DEPLOYED: { remedy: "Deploy the newest version first, or use `wrangler versions secret put`." },
  TAIL_LIMIT_REACHED: { remedy: "End another tail of this Worker first." },
  NO_VERSIONS: { remedy: "Upload a version first: wrangler deploy, or wrangler versions upload." },
  SECRET_NOT_FOUND: { remedy: "`wrangler secret list` shows what exists." },
  BINDING_INVALID: { remedy: "Mend the binding in the Wrangler configuration and deploy again." },
  INHERITED_BINDING_MISSING: { remedy: "Give the binding in full; for a secret: wrangler secret put <NAME>." },
  BINDING_UNSUPPORTED: { remedy: "Remove the binding from the Wrangler configuration." },
  UNAUTHORIZED: { remedy: "Send a valid token as `Authorization: Bearer <token>`." },
  FORBIDDEN: { remedy: "Use a token with the scope this needs." },
  TOKEN_NOT_FOUND: { remedy: "`millrace tokens list` shows what exists." },
  ROUTE_NOT_FOUND: { remedy: "Check the method and path; the compatibility page lists what exists." },
  BACKUP_RUNNING: { remedy: "Wait until it is done, or delete it." },
  BACKUP_NOT_FOUND: { remedy: "Begin a new one: millrace backup <file>." },
  SUBSCRIPTION_NOT_FOUND: { remedy: "List the subscriptions to see what exists." },
  SUBSCRIPTION_INVALID: { remedy: "See the field named in the message." },
  SETTING_UNSUPPORTED: { remedy: "Unset it, or use a version of Millrace that supports it." },
  INTERNAL: { remedy: "This is a defect in Millrace: please report it with the server's log." },
} as const satisfies Record<string, { readonly remedy: string }>;

export type ErrorCode = keyof typeof errorCatalogue;

/** An operating error. `detail` is one sentence without the remedy; `fields` are machine-readable facts. */
export class MillraceError extends Error {
  override readonly name = "MillraceError";
  readonly code: ErrorCode;
  readonly detail: string;
  readonly fields: Readonly<Record<string, unknown>>;

  constructor(
    code: ErrorCode,
    detail: string,
    options: ErrorOptions & { fields?: Readonly<Record<string, unknown>> } = {},
  ) {
    super(`${detail} (${code}). ${errorCatalogue[code].remedy}`, options);
    this.code = code;
    this.detail = detail;
    this.fields = options.fields ?? {};
  }

  get remedy(): string {
    return errorCatalogue[this.code].remedy;
  }
}

/** Whether a thrown value is an operating error, with one of the codes if any are given. */
export function isMillraceError(value: unknown, ...codes: readonly ErrorCode[]): value is MillraceError {
  return value instanceof MillraceError && (codes.length === 0 || codes.includes(value.code));
}
