// The table of settings: every flag, its variable, rule and default, once. Help texts and the reference come from here.

import { parseWorkerName } from "../contract/index.ts";
import type { WorkerName } from "../core/index.ts";
import {
  accountId,
  bearerToken,
  bindAddress,
  nonEmpty,
  oneOf,
  wholeNumber,
  wholeNumberOrOff,
  yesOrNo,
} from "./setting-rules.ts";
import type { Rule } from "./setting-rules.ts";

export interface SettingDefinition<T> {
  /** As commander writes it, for example `--port <number>`; `undefined`: a variable only. */
  readonly flag: string | undefined;
  readonly variable: string;
  readonly rule: Rule<T>;
  /** What holds when it is not set; only for people. */
  readonly defaultText: string;
  readonly summary: string;
  /** Its value is never shown back. */
  readonly secret?: true;
}

const define = <T>(definition: SettingDefinition<T>): SettingDefinition<T> => definition;

const workerName: Rule<WorkerName> = (text) => {
  const name = parseWorkerName(text);
  if (name !== undefined) return { kind: "value", value: name };
  return { kind: "broken", expected: "a Worker's name: 1 to 63 letters, digits, dashes and underscores" };
};

const databaseUrl: Rule<string> = (text) =>
  /^postgres(?:ql)?:\/\//.test(text) && URL.canParse(text)
    ? { kind: "value", value: text }
    : { kind: "broken", expected: "a URL that begins with postgres://" };

export const settingTable = {
  data: define({
    flag: "--data <folder>",
    variable: "MILLRACE_DATA",
    rule: nonEmpty("the path of a folder"),
    defaultText: "./.millrace",
    summary: "everything durable of a single-machine server",
  }),
  host: define({
    flag: "--host <address>",
    variable: "MILLRACE_HOST",
    rule: bindAddress,
    defaultText: "127.0.0.1",
    summary: "address to bind; anything else than loopback needs --insecure",
  }),
  insecure: define({
    flag: "--insecure",
    variable: "MILLRACE_INSECURE",
    rule: yesOrNo,
    defaultText: "off",
    summary: "allow other machines to reach the server without TLS",
  }),
  port: define({
    flag: "--port <number>",
    variable: "MILLRACE_PORT",
    rule: wholeNumber(0, 65_535),
    defaultText: "8788",
    summary: "REST API, console and metrics; 0 takes any free port",
  }),
  workerPort: define({
    flag: "--worker-port <number>",
    variable: "MILLRACE_WORKER_PORT",
    rule: wholeNumber(0, 65_535),
    defaultText: "8787",
    summary: "hosted Workers: http://<worker>.localhost:<port>; 0 takes any free port",
  }),
  defaultWorker: define({
    flag: "--default-worker <name>",
    variable: "MILLRACE_DEFAULT_WORKER",
    rule: workerName,
    defaultText: "the only Worker",
    summary: "who answers requests whose host names no Worker",
  }),
  databaseUrl: define({
    flag: "--database-url <url>",
    variable: "MILLRACE_DATABASE_URL",
    rule: databaseUrl,
    defaultText: "none: embedded SQLite in the data folder",
    summary: "postgres://…: the distributed engine",
    secret: true,
  }),
  logFormat: define({
    flag: "--log-format <format>",
    variable: "MILLRACE_LOG_FORMAT",
    rule: oneOf("pretty", "json"),
    defaultText: "pretty on a terminal, else json",
    summary: "pretty, or json with one event a line",
  }),
  logLevel: define({
    flag: "--log-level <level>",
    variable: "MILLRACE_LOG_LEVEL",
    rule: oneOf("debug", "info", "warn", "error"),
    defaultText: "info",
    summary: "debug, info, warn or error: the least that is written",
  }),
  apiRateLimit: define({
    flag: "--api-rate-limit <number>",
    variable: "MILLRACE_API_RATE_LIMIT",
    rule: wholeNumberOrOff(1, 1_000_000_000),
    defaultText: "off",
    summary: "API requests a token may make in 5 minutes, or off; messages are not counted (Cloudflare: 1200)",
  }),
  apiToken: define({
    flag: undefined,
    variable: "MILLRACE_API_TOKEN",
    rule: bearerToken,
    defaultText: "generated, kept in the data folder, shown once",
    summary: "the first administrator token",
    secret: true,
  }),
  accountId: define({
    flag: undefined,
    variable: "MILLRACE_ACCOUNT_ID",
    rule: accountId,
    defaultText: "generated, kept in the data folder",
    summary: "the account every API path names: 32 hex digits",
  }),
} as const;

export type SettingKey = keyof typeof settingTable;

/** The parsed type of one setting. */
export type SettingValue<K extends SettingKey> =
  (typeof settingTable)[K] extends SettingDefinition<infer T> ? T : never;

export const settingKeys = Object.keys(settingTable) as readonly SettingKey[];

/** `--port` out of `--port <number>`. */
export function flagName(key: SettingKey): string | undefined {
  return settingTable[key].flag?.split(" ", 1)[0];
}
