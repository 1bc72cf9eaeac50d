// The server's settings as flags of a command.

import type { Command } from "commander";
import { parseSettings, settingKeys, settingTable } from "../config/index.ts";
import type { SettingKey, SettingsResult } from "../config/index.ts";
import { usageFailure } from "./command-failure.ts";
import type { CommandContext } from "./command-context.ts";

type ValidSettings = Extract<SettingsResult, { readonly kind: "valid" }>;

/** Adds a flag for every setting that has one, all of them or those named. */
export function addSettingOptions(command: Command, keys: readonly SettingKey[] = settingKeys): Command {
  for (const key of keys) {
    const { flag, variable, summary, defaultText } = settingTable[key];
    if (flag !== undefined) command.option(flag, `${summary} (default: ${defaultText}; ${variable})`);
  }
  return command;
}

/** The variables that have no flag, for the help. */
export function variablesHelp(): string {
  const lines = settingKeys
    .map((key) => settingTable[key])
    .filter(({ flag }) => flag === undefined)
    .map(({ variable, summary, defaultText }) => `  ${variable.padEnd(22)}${summary} (default: ${defaultText})`);
  return `\nVariables without a flag:\n${lines.join("\n")}`;
}

/** The settings of flags and environment. Throws all problems together. */
export function readSettings(
  { terminal }: CommandContext,
  flags: Readonly<Partial<Record<SettingKey, string | boolean>>>,
): ValidSettings {
  const { env, cwd } = terminal;
  const result = parseSettings({ flags, env, cwd, isTerminal: terminal.stdout.isTTY === true });
  if (result.kind === "valid") return result;
  const problems = [...result.problems, ...result.warnings].map(({ message }) => `  ${message}`);
  const count = problems.length === 1 ? "a setting cannot be used" : "some settings cannot be used";
  throw usageFailure(`${count}:\n${problems.join("\n")}`);
}
