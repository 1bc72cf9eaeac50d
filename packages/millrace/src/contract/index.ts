// The contract's public surface.

export { parseExactJson } from "./exact-json.ts";
export * from "./error-codes.ts";
export * from "./event-sources.ts";
export * from "./limits.ts";
export * from "./names.ts";
export * from "./sending.ts";
export * from "./settings.ts";
