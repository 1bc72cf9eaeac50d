// The settings' public surface.

export { isOpenToOthers, makeDataFolder, openDataFolder, readAccountId } from "./data-folder.ts";
export type { DataFolder, DataFolderOptions } from "./data-folder.ts";
export { nearest } from "./nearest.ts";
export { announceServer, findServerFile, readServerFile } from "./server-file.ts";
export type { ServerAddress, ServerFile } from "./server-file.ts";
export { settingKeys, settingTable } from "./setting-table.ts";
export type { SettingKey } from "./setting-table.ts";
export { parseSettings } from "./settings.ts";
export type { ServerSettings, SettingProblem, SettingsInput, SettingsResult } from "./settings.ts";
