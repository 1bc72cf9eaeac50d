// docs/reference/settings.md: the server's settings.

import { settingKeys, settingTable } from "../../packages/millrace/src/config/index.ts";
import type { SettingKey } from "../../packages/millrace/src/config/index.ts";
import { code, table } from "./markdown.ts";

export function settingsPage(): string {
  return `# Settings

Settings of \`millrace serve\` and \`millrace dev\`, as flags or environment variables. A flag wins over its variable; an empty variable counts as not set. A setting that cannot be used stops the start, and all of them are told at once; an unknown \`MILLRACE_…\` variable is warned about.

${table(["Flag", "Variable", "Default", "Takes", "Meaning"], settingKeys.map(row))}
`;
}

function row(key: SettingKey): string[] {
  const { flag, variable, defaultText, summary } = settingTable[key];
  return [flag === undefined ? "" : code(flag), code(variable), defaultText, taken(key), summary];
}

/** What the rule says that it expects: no setting takes the empty text. */
function taken(key: SettingKey): string {
  const result = settingTable[key].rule("");
  if (result.kind === "value") throw new Error(`the rule of ${key} takes an empty text`);
  return result.expected;
}
