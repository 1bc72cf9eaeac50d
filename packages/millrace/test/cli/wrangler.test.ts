// The project's own wrangler: found, pointed at a server, and read for its understanding of a configuration.
import assert from "node:assert/strict";
import { mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { findConfigs } from "../../src/cli/dev/config-discovery.ts";
import { readProjectConfig } from "../../src/cli/dev/project-config.ts";
import { findWrangler, wranglerEnvironment } from "../../src/cli/wrangler/project-wrangler.ts";
import { apiStarter, cli, plainEnvironment, startApiServer, temporaryFolder } from "./cli-harness.ts";

const quietWrangler = {
  WRANGLER_SEND_METRICS: "false",
  WRANGLER_HIDE_BANNER: "true",
  WRANGLER_WRITE_LOGS: "false",
};

const modules = join(import.meta.dirname, "../../../../node_modules");

/** A project with this repository's wrangler installed. */
async function project(files: Readonly<Record<string, string>>): ReturnType<typeof temporaryFolder> {
  const folder = await temporaryFolder();
  await symlink(modules, join(folder.path, "node_modules"), "junction");
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder.path, name)), { recursive: true });
    await writeFile(join(folder.path, name), text);
  }
  return folder;
}

describe("wrangler", () => {
  test("is found from inside the project, and asked for where there is none", async () => {
    await using folder = await project({ "src/deep/x.ts": "" });
    const { bin, version } = await findWrangler(join(folder.path, "src", "deep"));
    assert.match(await readFile(bin, "utf8"), /wrangler/);
    assert.match(version, /^\d+\.\d+\.\d+$/);
    await using empty = await temporaryFolder();
    const { exitCode, stderr } = await cli(["wrangler", "whoami"], { cwd: empty.path });
    assert.equal(exitCode, 1);
    assert.match(stderr, /no wrangler is installed in .*npm install --save-dev wrangler/);
  });

  test("gets the three variables, nothing that would lead it elsewhere, and no proxy in between", () => {
    const target = { api: "http://10.0.0.5:8788/client/v4", token: "t", accountId: "a" };
    const surroundings = { PATH: "/bin", CF_API_TOKEN: "other", CLOUDFLARE_API_TOKEN: "real", NO_PROXY: "example.com" };
    const env = wranglerEnvironment(target, surroundings);
    assert.deepEqual(env, {
      PATH: "/bin",
      CLOUDFLARE_API_BASE_URL: target.api,
      CLOUDFLARE_API_TOKEN: "t",
      CLOUDFLARE_ACCOUNT_ID: "a",
      NO_PROXY: "example.com,localhost,127.0.0.1,::1,10.0.0.5",
      no_proxy: "example.com,localhost,127.0.0.1,::1,10.0.0.5",
    });
  });

  test("runs against the server, and its exit code is passed on", async () => {
    await using server = await startApiServer();
    await using folder = await project({});
    const options = { cwd: folder.path, env: { ...server.env, ...quietWrangler } };
    assert.equal((await cli(["wrangler", "queues", "create", "made-by-wrangler"], options)).exitCode, 0);
    assert.match((await cli(["queues", "list"], options)).stdout, /^made-by-wrangler /m);
    assert.equal((await cli(["wrangler", "queues", "info", "missing"], options)).exitCode, 1);
  });

  test("without a running server one is started for the command", async () => {
    await using folder = await project({});
    const { startServer, started } = apiStarter();
    const options = { cwd: folder.path, env: quietWrangler, startServer };
    const result = await cli(["wrangler", "queues", "create", "early"], options);
    assert.equal(result.exitCode, 0, result.stderr);
    assert.match(result.stderr, /no server runs on \.millrace; starting one for this command/);
    assert.equal(started.length, 1);
    assert.deepEqual(
      started[0]?.controlPlane.view.all("queue").map(({ name }) => name as string),
      ["early"],
    );
  });
});

describe("wrangler deploy", () => {
  test("leaves a consumer attached that the configuration names no more, and that is told with what to do", async () => {
    await using server = await startApiServer();
    const consumers = [{ queue: "orders" }, { queue: "mails" }];
    const config = { name: "shop", main: "index.js", compatibility_date: "2026-10-01", queues: { consumers } };
    await using folder = await project({
      "wrangler.json": JSON.stringify(config),
      "index.js": "export default { queue(batch) { batch.ackAll(); } }",
    });
    const options = { cwd: folder.path, env: { ...server.env, ...quietWrangler } };
    const millrace = async (...args: readonly string[]): Promise<string> => {
      const { exitCode, stderr } = await cli(args, options);
      assert.equal(exitCode, 0, stderr);
      return stderr;
    };
    for (const { queue } of consumers) await millrace("queues", "create", queue);
    assert.equal(await millrace("wrangler", "deploy"), "");
    await writeFile(
      join(folder.path, "wrangler.json"),
      JSON.stringify({ ...config, queues: { consumers: [{ queue: "mails" }] } }),
    );
    const note =
      "millrace: queue orders still delivers to shop, though wrangler.json does not name it. wrangler leaves it so; to detach it: millrace queues consumer remove orders\n";
    assert.equal(await millrace("wrangler", "deploy", "--dry-run"), "");
    assert.equal(await millrace("wrangler", "deploy", "-c", "./wrangler.json"), note);
    assert.equal(await millrace("wrangler", "triggers", "deploy"), note);
    await millrace("queues", "consumer", "remove", "orders");
    assert.equal(await millrace("wrangler", "deploy"), "");
  });
});

describe("configurations", () => {
  test("are those named, each once, or the one of the folder in wrangler's order", async () => {
    await using folder = await project({
      "wrangler.toml": "",
      "wrangler.jsonc": "{}",
      "shop/wrangler.json": "{}",
      "shop/wrangler.toml": "",
      "other.jsonc": "{}",
      "empty/readme.txt": "",
    });
    const { path: cwd } = folder;
    assert.deepEqual(await findConfigs([], cwd), [join(cwd, "wrangler.jsonc")]);
    assert.deepEqual(await findConfigs(["shop", "other.jsonc", "./shop/wrangler.json"], cwd), [
      join(cwd, "shop", "wrangler.json"),
      join(cwd, "other.jsonc"),
    ]);
    await assert.rejects(
      findConfigs(["empty"], cwd),
      /no wrangler\.jsonc, wrangler\.json or wrangler\.toml in .*empty/,
    );
    await assert.rejects(findConfigs(["missing.jsonc"], cwd), /missing\.jsonc does not exist/);
    await assert.rejects(findConfigs(["empty/readme.txt"], cwd), /no wrangler configuration/);
  });

  const config = {
    name: "my-app",
    main: "src/index.js",
    compatibility_date: "2026-10-01",
    queues: { consumers: [{ queue: "in", dead_letter_queue: "in-dlq" }, { queue: "more" }] },
    env: { staging: { queues: { consumers: [{ queue: "in-staging" }] } } },
  };

  test("are read as wrangler reads them, environments included", async () => {
    await using folder = await project({
      "wrangler.jsonc": `// a comment\n${JSON.stringify(config)}`,
      "src/index.js": "",
    });
    const wrangler = await findWrangler(folder.path);
    const path = join(folder.path, "wrangler.jsonc");
    assert.deepEqual(await readProjectConfig(wrangler, path, undefined, plainEnvironment), {
      name: "my-app",
      consumers: [
        { queue: "in", deadLetterQueue: "in-dlq" },
        { queue: "more", deadLetterQueue: undefined },
      ],
      watched: [folder.path],
    });
    const staging = await readProjectConfig(wrangler, path, "staging", plainEnvironment);
    assert.equal(staging.name, "my-app-staging");
    assert.deepEqual(staging.consumers, [{ queue: "in-staging", deadLetterQueue: undefined }]);
  });

  test("with a custom build are watched where the build says", async () => {
    const build = { command: "make", watch_dir: ["lib", "shared"] };
    await using folder = await project({ "wrangler.json": JSON.stringify({ ...config, build }), "src/index.js": "" });
    const path = join(folder.path, "wrangler.json");
    const { watched } = await readProjectConfig(await findWrangler(folder.path), path, undefined, plainEnvironment);
    assert.deepEqual(watched, [path, join(folder.path, "lib"), join(folder.path, "shared")]);
  });

  test("that are not valid are refused in wrangler's words", async () => {
    const broken = { ...config, queues: { consumers: [{ queue: 5 }] } };
    await using folder = await project({ "wrangler.jsonc": JSON.stringify(broken), "src/index.js": "" });
    const { exitCode, stderr } = await cli(["dev", "--port", "0"], { cwd: folder.path });
    assert.equal(exitCode, 1);
    assert.match(stderr, /wrangler cannot read .*wrangler\.jsonc:\n[^]*"queues\.consumers\[0\]/);
  });
});
