// What the settings' table promises: names, defaults, precedence, and problems told all at once.
import assert from "node:assert/strict";
import { resolve } from "node:path";
import { describe, test } from "node:test";
import { parseSettings, settingKeys, settingTable } from "../../src/config/index.ts";
import type { ServerSettings, SettingsInput } from "../../src/config/index.ts";

const input = (changes: Partial<SettingsInput>): SettingsInput => ({
  flags: {},
  env: {},
  cwd: resolve("/srv/app"),
  isTerminal: false,
  ...changes,
});

function valid(changes: Partial<SettingsInput>): ServerSettings {
  const result = parseSettings(input(changes));
  assert.equal(result.kind, "valid", result.kind === "invalid" ? JSON.stringify(result.problems) : "");
  return result.kind === "valid" ? result.settings : assert.fail();
}

function problems(changes: Partial<SettingsInput>): readonly string[] {
  const result = parseSettings(input(changes));
  assert.equal(result.kind, "invalid");
  return result.kind === "invalid" ? result.problems.map(({ message }) => message) : [];
}

describe("settings", () => {
  test("have the documented defaults", () => {
    assert.deepEqual(valid({}), {
      data: resolve("/srv/app/.millrace"),
      host: "127.0.0.1",
      insecure: false,
      port: 8788,
      workerPort: 8787,
      defaultWorker: undefined,
      databaseUrl: undefined,
      logFormat: "json",
      logLevel: "info",
      apiRateLimit: null,
      apiToken: undefined,
      accountId: undefined,
    });
    assert.equal(valid({ isTerminal: true }).logFormat, "pretty");
  });

  test("cannot be changed afterwards", () => {
    assert.ok(Object.isFrozen(valid({})));
  });

  const accepted: readonly (readonly [keyof ServerSettings, string, unknown])[] = [
    ["data", "/var/lib/millrace", resolve("/var/lib/millrace")],
    ["data", "state", resolve("/srv/app/state")],
    ["host", "::1", "::1"],
    ["host", "[::1]", "::1"],
    ["host", "localhost", "localhost"],
    ["host", "127.3.2.1", "127.3.2.1"],
    ["port", "0", 0],
    ["port", "65535", 65_535],
    ["workerPort", "9000", 9000],
    ["defaultWorker", "my-app", "my-app"],
    ["logFormat", "pretty", "pretty"],
    ["logLevel", "debug", "debug"],
    ["apiRateLimit", "1200", 1_200],
    ["apiRateLimit", "off", null],
    ["apiToken", "secret", "secret"],
    ["accountId", "0123456789abcdef0123456789abcdef", "0123456789abcdef0123456789abcdef"],
  ];
  for (const [key, text, value] of accepted) {
    test(`${settingTable[key].variable}=${text} is taken, and so is its flag`, () => {
      assert.deepEqual(valid({ env: { [settingTable[key].variable]: text } })[key], value);
      if (settingTable[key].flag !== undefined) assert.deepEqual(valid({ flags: { [key]: text } })[key], value);
    });
  }

  const refused: readonly (readonly [keyof ServerSettings, string, RegExp])[] = [
    ["data", " ", /expected the path of a folder/],
    ["host", "a b", /expected an IP address or a host name/],
    ["host", "127.0.0.1:80", /without a port, got "127.0.0.1:80"/],
    ["host", "300.1.1.1", /expected an IP address/],
    ["port", "eighty", /expected a whole number from 0 to 65535, got "eighty"/],
    ["port", "65536", /from 0 to 65535, got "65536"/],
    ["workerPort", "-1", /from 0 to 65535/],
    ["workerPort", "1.5", /from 0 to 65535/],
    ["defaultWorker", "../x", /a Worker's name/],
    ["databaseUrl", "mysql://x", /expected a URL that begins with postgres:/],
    ["logFormat", "jsno", /expected pretty or json, got "jsno"\. Did you mean json\?/],
    ["logLevel", "verbose", /expected debug, info, warn or error/],
    ["apiRateLimit", "0", /a whole number from 1 to \d+, or off, got "0"/],
    ["insecure", "maybe", /expected true or false/],
    ["accountId", "0123", /32 lower-case hex digits/],
  ];
  for (const [key, text, message] of refused) {
    test(`${settingTable[key].variable}=${JSON.stringify(text)} is refused with the rule`, () => {
      const { variable } = settingTable[key];
      const [found, ...others] = problems({ env: { [variable]: text } });
      assert.match(found ?? "", message);
      assert.ok(found?.startsWith(`${variable}: `));
      assert.deepEqual(others, []);
    });
  }

  test("report every problem at once", () => {
    const found = problems({
      flags: { port: "x", host: "0.0.0.0" },
      env: { MILLRACE_LOG_FORMAT: "xml", MILLRACE_ACCOUNT_ID: "me" },
    });
    assert.deepEqual(
      new Set(found.map((message) => message.split(":", 1)[0])),
      new Set(["--host", "--port", "MILLRACE_ACCOUNT_ID", "MILLRACE_LOG_FORMAT"]),
    );
  });

  test("a flag wins over its variable, an empty variable is not set", () => {
    assert.equal(valid({ flags: { port: "1" }, env: { MILLRACE_PORT: "2" } }).port, 1);
    assert.equal(valid({ env: { MILLRACE_PORT: "" } }).port, 8788);
    assert.match(problems({ flags: { data: "" } })[0] ?? "", /^--data: expected the path of a folder, got ""/);
  });

  test("a host that others can reach needs --insecure, and says why", () => {
    const [message] = problems({ flags: { host: "0.0.0.0" } });
    assert.match(message ?? "", /--host: .*"0\.0\.0\.0".*clear text.*--insecure/s);
    assert.equal(valid({ flags: { host: "0.0.0.0", insecure: true } }).host, "0.0.0.0");
    assert.equal(valid({ env: { MILLRACE_HOST: "::", MILLRACE_INSECURE: "1" } }).host, "::");
  });

  test("two listeners cannot share a port, but both may take any", () => {
    assert.match(problems({ flags: { port: "9000", workerPort: "9000" } })[0] ?? "", /--worker-port: .*9000 for both/);
    assert.match(problems({ flags: { port: "8787" } })[0] ?? "", /--worker-port: .*8787 for both/);
    assert.equal(valid({ flags: { port: "0", workerPort: "0" } }).port, 0);
  });

  test("secrets are never shown back", () => {
    const [token] = problems({ env: { MILLRACE_API_TOKEN: "top secret" } });
    assert.match(token ?? "", /got 10 characters \(not shown/);
    const [database] = problems({ env: { MILLRACE_DATABASE_URL: "user:hunter2@db" } });
    assert.doesNotMatch(database ?? "", /hunter2/);
  });

  test("a database URL is refused for as long as nothing would use it", () => {
    assert.match(
      problems({ flags: { databaseUrl: "postgres://db/millrace" } })[0] ?? "",
      /--database-url: .*not part of this version/,
    );
  });

  test("an unknown variable is a warning that names the nearest one", () => {
    const result = parseSettings(input({ env: { MILLRACE_PROT: "1", MILLRACE_COLOUR: "red", PORT: "3" } }));
    assert.equal(result.kind, "valid");
    assert.deepEqual(
      result.warnings.map(({ path }) => path),
      ["MILLRACE_COLOUR", "MILLRACE_PROT"],
    );
    assert.match(result.warnings[1]?.message ?? "", /Did you mean MILLRACE_PORT\?/);
    assert.match(result.warnings[0]?.message ?? "", /no effect\. Known are MILLRACE_DATA, /);
  });

  test("every variable is named after Millrace and every flag after its setting", () => {
    for (const key of settingKeys) {
      const { flag, variable } = settingTable[key];
      const words = key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
      assert.equal(variable, `MILLRACE_${words.replaceAll("-", "_").toUpperCase()}`);
      if (flag !== undefined) assert.equal(flag.split(" ", 1)[0], `--${words}`);
    }
  });
});
