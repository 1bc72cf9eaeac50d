// The broker's public surface.

export * from "./backups.ts";
export * from "./broker.ts";
export * from "./catalog-events.ts";
export * from "./conservation.ts";
export * from "./consumers.ts";
export * from "./control-plane.ts";
export * from "./intake.ts";
export * from "./pull.ts";
export * from "./purges.ts";
export * from "./push-target.ts";
export * from "./queue-facts.ts";
export * from "./queues.ts";
export * from "./redrive.ts";
export * from "./subscriptions.ts";
export * from "./tokens.ts";
export * from "./workers.ts";
export type { LoopState } from "./consumer-loop.ts";
