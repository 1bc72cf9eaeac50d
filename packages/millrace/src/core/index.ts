// The core's public surface.

export * from "./batch-window.ts";
export * from "./catalog.ts";
export * from "./catalog-store.ts";
export * from "./concurrency.ts";
export * from "./conservation.ts";
export * from "./delays.ts";
export * from "./errors.ts";
export * from "./explain.ts";
export * from "./identity.ts";
export * from "./leasing-ahead.ts";
export * from "./loopback.ts";
export * from "./message.ts";
export * from "./ports.ts";
export * from "./retention.ts";
export * from "./settlement.ts";
export * from "./slots.ts";
export * from "./time.ts";
export * from "./token-bucket.ts";
export * from "./timeline.ts";
