// The worker host's public surface.

export type { HostLimits } from "./host-limits.ts";
export type { WorkerState } from "./hosted-worker.ts";
export { WorkerRouter } from "./router.ts";
export type { RouterOptions } from "./router.ts";
export type { WorkerTrace } from "./trace-feed.ts";
export { WorkerHost } from "./worker-host.ts";
export type { PreparedVersion, WorkerDescription, WorkerHostOptions } from "./worker-host.ts";
export type { PortDescription, PortReservation } from "./worker-ports.ts";
export type { WorkerLogEntry } from "./worker-log.ts";
