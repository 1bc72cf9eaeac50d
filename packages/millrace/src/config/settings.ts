// Parses the server's settings once, from flags and environment, into one frozen value. All problems are reported at once.

import { resolve } from "node:path";
import { isLoopback } from "../core/index.ts";
import { nearest } from "./nearest.ts";
import type { RuleResult } from "./setting-rules.ts";
import { flagName, settingKeys, settingTable } from "./setting-table.ts";
import type { SettingKey, SettingValue } from "./setting-table.ts";

export interface ServerSettings {
  /** Absolute path. */
  readonly data: string;
  readonly host: string;
  readonly insecure: boolean;
  /** 0: any free port. */
  readonly port: number;
  /** 0: any free port. */
  readonly workerPort: number;
  /** `undefined`: the only Worker there is. */
  readonly defaultWorker: SettingValue<"defaultWorker"> | undefined;
  /** `undefined`: embedded SQLite. */
  readonly databaseUrl: string | undefined;
  readonly logFormat: SettingValue<"logFormat">;
  readonly logLevel: SettingValue<"logLevel">;
  /** API requests a token may make in five minutes; `null`: as many as it likes. */
  readonly apiRateLimit: number | null;
  /** `undefined`: the data folder's own. */
  readonly apiToken: string | undefined;
  /** `undefined`: the data folder's own. */
  readonly accountId: string | undefined;
}

export interface SettingsInput {
  /** Flags as typed, by setting; a flag without text is `true`. */
  readonly flags: Readonly<Partial<Record<SettingKey, string | boolean>>>;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Relative paths start here. */
  readonly cwd: string;
  /** Whether people read the log: decides the default format. */
  readonly isTerminal: boolean;
}

/** One setting that cannot be used. `message` is whole: path, rule, value received and what was probably meant. */
export interface SettingProblem {
  /** The flag or variable it came from. */
  readonly path: string;
  readonly message: string;
}

export type SettingsResult =
  | { readonly kind: "valid"; readonly settings: ServerSettings; readonly warnings: readonly SettingProblem[] }
  | {
      readonly kind: "invalid";
      readonly problems: readonly SettingProblem[];
      readonly warnings: readonly SettingProblem[];
    };

/** A flag wins over its variable; an empty variable counts as not set. */
export function parseSettings(input: SettingsInput): SettingsResult {
  const problems: SettingProblem[] = [];
  const warnings = unknownVariables(input.env);

  const read = <K extends SettingKey>(key: K): SettingValue<K> | undefined => {
    const source = sourceOf(key, input);
    if (source === undefined) return undefined;
    // The table's value types are lost in a lookup by a type parameter.
    const result = (
      source.given === true ? { kind: "value", value: true } : settingTable[key].rule(source.given)
    ) as RuleResult<SettingValue<K>>;
    if (result.kind === "value") return result.value;
    const hint = result.hint === undefined ? "" : `. ${result.hint}`;
    problems.push({
      path: source.path,
      message: `${source.path}: expected ${result.expected}, got ${shown(key, source.given)}${hint}`,
    });
    return undefined;
  };

  const settings: ServerSettings = {
    data: resolve(input.cwd, read("data") ?? ".millrace"),
    host: read("host") ?? "127.0.0.1",
    insecure: read("insecure") ?? false,
    port: read("port") ?? 8788,
    workerPort: read("workerPort") ?? 8787,
    defaultWorker: read("defaultWorker"),
    databaseUrl: read("databaseUrl"),
    logFormat: read("logFormat") ?? (input.isTerminal ? "pretty" : "json"),
    logLevel: read("logLevel") ?? "info",
    apiRateLimit: read("apiRateLimit") ?? null,
    apiToken: read("apiToken"),
    accountId: read("accountId"),
  };
  problems.push(...rulesAcross(settings, input));
  if (problems.length > 0) return { kind: "invalid", problems, warnings };
  return { kind: "valid", settings: Object.freeze(settings), warnings };
}

/** Rules about several settings together, and about what this version can do. */
function rulesAcross(settings: ServerSettings, input: SettingsInput): SettingProblem[] {
  const problems: SettingProblem[] = [];
  const add = (key: SettingKey, message: string): void => {
    const path = sourceOf(key, input)?.path ?? flagName(key) ?? settingTable[key].variable;
    problems.push({ path, message: `${path}: ${message}` });
  };
  if (!isLoopback(settings.host) && !settings.insecure) {
    add(
      "host",
      `expected a loopback address such as 127.0.0.1, got ${JSON.stringify(settings.host)}. Other machines could reach the ` +
        "server, and without TLS its tokens and messages would cross the network in clear text. Keep 127.0.0.1 behind a proxy " +
        "that ends TLS, or add --insecure if every machine that can reach it is trusted.",
    );
  }
  if (settings.port !== 0 && settings.port === settings.workerPort) {
    add(
      "workerPort",
      `expected another port than --port, got ${settings.workerPort} for both. Give one of them another number.`,
    );
  }
  if (settings.databaseUrl !== undefined) {
    add(
      "databaseUrl",
      "the distributed engine is not part of this version. Leave it out: SQLite in the data folder is used.",
    );
  }
  return problems;
}

interface SettingSource {
  readonly path: string;
  readonly given: string | true;
}

function sourceOf(key: SettingKey, { flags, env }: SettingsInput): SettingSource | undefined {
  const { variable } = settingTable[key];
  const flag = flags[key];
  if (flag !== undefined && flag !== false) return { path: flagName(key) ?? variable, given: flag };
  const text = env[variable];
  return text === undefined || text === "" ? undefined : { path: variable, given: text };
}

function shown(key: SettingKey, given: string | true): string {
  if (given === true) return "nothing";
  const definition: { readonly secret?: true } = settingTable[key];
  if (definition.secret === true) return `${given.length} characters (not shown: it is a secret)`;
  return JSON.stringify(given.length > 80 ? `${given.slice(0, 80)}…` : given);
}

/** A misspelt variable would otherwise be a setting silently ignored. */
function unknownVariables(env: SettingsInput["env"]): SettingProblem[] {
  const known = settingKeys.map((key) => settingTable[key].variable);
  return Object.keys(env)
    .filter((name) => name.startsWith("MILLRACE_") && !(known as readonly string[]).includes(name))
    .toSorted()
    .map((name) => {
      const meant = nearest(name, known);
      const hint = meant === undefined ? `Known are ${known.join(", ")}.` : `Did you mean ${meant}?`;
      return { path: name, message: `${name}: no such setting, it has no effect. ${hint}` };
    });
}
