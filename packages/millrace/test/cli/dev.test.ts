// `millrace dev` as people use it: real wrangler deploys to the real API, files change, keys are pressed.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { apiStarter, cli, temporaryFolder, TerminalKeys } from "./cli-harness.ts";

const modules = join(import.meta.dirname, "../../../../node_modules");
const config = `
name = "my-app"
main = "src/index.js"
compatibility_date = "2026-10-01"
[[queues.producers]]
binding = "EVENTS"
queue = "my-app-events"
[[queues.consumers]]
queue = "my-app-events"
dead_letter_queue = "my-app-events-dlq"
`;
const source = (answer: string): string =>
  `export default { fetch() { return new Response("${answer}") }, queue(batch) { batch.ackAll() } }`;

/** Resolves once the text has been written so many times. */
class Output {
  #text = "";
  readonly #waiting = new Set<() => void>();

  readonly onOutput = (text: string): void => {
    this.#text = text;
    for (const look of this.#waiting) look();
  };

  async until(part: string, times = 1): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const look = (): void => {
      if (this.#text.split(part).length > times) resolve();
    };
    this.#waiting.add(look);
    const deadline = setTimeout(
      () => reject(new Error(`no ${JSON.stringify(part)} (${times}) in:\n${this.#text}`)),
      60_000,
    );
    try {
      look();
      await promise;
    } finally {
      clearTimeout(deadline);
      this.#waiting.delete(look);
    }
  }
}

test("deploys, makes the queues it needs, follows changes, obeys keys and stops cleanly", async () => {
  await using folder = await temporaryFolder();
  await symlink(modules, join(folder.path, "node_modules"), "junction");
  await mkdir(join(folder.path, "src"));
  await writeFile(join(folder.path, "wrangler.toml"), config);
  await writeFile(join(folder.path, "src", "index.js"), source("one"));
  await writeFile(join(folder.path, ".dev.vars"), "PASSWORD=hunter2\n");

  const output = new Output();
  const keys = new TerminalKeys();
  const { startServer, started } = apiStarter();
  const options = { cwd: folder.path, stdin: keys, startServer, onOutput: output.onOutput };
  const running = cli(["dev", "--port", "0", "--", "--var", "GREETING:hello"], options);

  await output.until("  ready\n");
  assert.ok(existsSync(join(folder.path, ".millrace", "server.json")));
  await output.until("my-app  answers at http://localhost:8787");
  await output.until("watching for changes. Keys: o opens the console, r deploys again, q quits");
  const view = (): NonNullable<(typeof started)[0]>["controlPlane"]["view"] => {
    assert.ok(started[0]);
    return started[0].controlPlane.view;
  };
  const [version] = view().all("version");
  const bindings = version?.bindings
    .map((binding) => `${binding.type} ${binding.name}`)
    .toSorted((a, b) => a.localeCompare(b));
  assert.deepEqual(bindings, ["plain_text GREETING", "queue EVENTS", "secret_text PASSWORD"]);
  assert.equal(view().all("consumer").length, 1);
  assert.ok(view().queueByName("my-app-events") && view().queueByName("my-app-events-dlq"));

  await writeFile(join(folder.path, "src", "index.js"), source("two"));
  await output.until(
    "my-app  src/index.js changed: deploying wrangler.toml".replace("/", process.platform === "win32" ? "\\" : "/"),
  );
  await output.until("my-app  answers at", 2);
  assert.equal(view().all("version").length, 2);

  await writeFile(join(folder.path, "src", "index.js"), "export default {");
  await output.until("wrangler could not deploy wrangler.toml");
  await output.until("src/index.js:1:16");

  await writeFile(join(folder.path, "src", "index.js"), source("three"));
  await output.until("my-app  answers at", 3);
  keys.press("r");
  await output.until("my-app  answers at", 4);

  // Neither a consumer nor a handler any more: detached first, or the version without a handler would be refused.
  await writeFile(join(folder.path, "src", "index.js"), "export default { fetch() { return new Response() } }");
  await output.until("this version exports no queue handler");
  await writeFile(join(folder.path, "wrangler.toml"), config.replace(/\[\[queues\.consumers[^]*/, ""));
  await output.until("my-app  no longer consumes my-app-events: wrangler.toml does not name it");
  await output.until("my-app  answers at", 5);
  assert.deepEqual(view().all("consumer"), []);

  assert.equal(keys.raw, true);
  keys.press("\u0003");
  const { exitCode, stderr } = await running;
  assert.equal(exitCode, 0, stderr);
  assert.equal(keys.raw, false);
  await output.until("millrace  stopped");
  assert.ok(!existsSync(join(folder.path, ".millrace", "server.json")));
});

test("without a configuration it says which it looked for", async () => {
  await using folder = await temporaryFolder();
  const { exitCode, stderr } = await cli(["dev"], { cwd: folder.path });
  assert.equal(exitCode, 1);
  assert.match(stderr, /no wrangler\.jsonc, wrangler\.json or wrangler\.toml in .*Name one: millrace dev/);
});
