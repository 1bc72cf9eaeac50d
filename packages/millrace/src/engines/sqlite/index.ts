// The SQLite engine's public surface.

export { isMillraceDatabase, labelBackup, unlabelBackup } from "./backup-file.ts";
export type { BackupLabel } from "./backup-file.ts";
export { damageLogPath } from "./damage-log.ts";
export { databasePath } from "./database.ts";
export { openSqliteEngine } from "./engine.ts";
export type { SqliteEngineOptions } from "./engine.ts";
