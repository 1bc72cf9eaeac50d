// The SQLite engine's public surface.

export { openSqliteEngine } from "./engine.ts";
export type { SqliteEngineOptions } from "./engine.ts";
