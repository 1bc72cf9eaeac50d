// The public surface of events, logs and metrics.

export { createEventFeed } from "./event-feed.ts";
export type { EventFeed, FeedEvent } from "./event-feed.ts";
export { eventCatalogue } from "./events.ts";
export type { EventDefinition, LogLevel } from "./events.ts";
export { plural, span } from "./event-fields.ts";
export { createLogger } from "./logger.ts";
export type { LogDestination, LoggerOptions } from "./logger.ts";
export { createMetrics } from "./metrics.ts";
export type { Metrics, QueueReading } from "./metrics.ts";
export { observeLogger } from "./observers.ts";
export type { EventObserver } from "./observers.ts";
