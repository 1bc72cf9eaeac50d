// Request and response shapes of the REST API, as schemas: they check requests, type answers and make the OpenAPI document.

export * from "./account.ts";
export * from "./accounting.ts";
export * from "./audit.ts";
export * from "./backups.ts";
export * from "./envelope.ts";
export * from "./extensions.ts";
export * from "./fields.ts";
export * from "./messages.ts";
export * from "./queues.ts";
export * from "./subscriptions.ts";
export * from "./tokens.ts";
export * from "./workers.ts";
export * from "./transfer.ts";
