// `wrangler versions`, `deployments`, `rollback`, `secret`, `tail` and `whoami` against this server.
// Expectations recorded with wrangler 4.153.0 and 4.164.0 in November 2026.
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";

import { bothHandlers } from "../api/upload.ts";
import { WranglerHarness } from "./wrangler-harness.ts";

const config = { name: "my-app", main: "index.js", compatibility_date: "2026-10-01", vars: { GREETING: "hello" } };
const files = { "wrangler.jsonc": config, "index.js": bothHandlers };

async function runningVersion(harness: WranglerHarness): Promise<string> {
  const { deployments } = await harness.api.must<{ deployments: { versions: { version_id: string }[] }[] }>(
    "GET",
    "/workers/scripts/my-app/deployments",
  );
  return deployments[0]?.versions[0]?.version_id ?? "";
}

test("versions are uploaded, listed, shown, deployed and rolled back", async () => {
  await using harness = await WranglerHarness.open();
  const project = await harness.project("app", files);
  assert.match(await harness.refused("versions upload", { in: project }), /does not exist|deploy/i);
  await harness.must("deploy", { in: project });
  const first = await runningVersion(harness);
  const uploaded = await harness.must("versions upload --tag v2 --message second", { in: project });
  const second = /Worker Version ID: ([0-9a-f-]{36})/.exec(uploaded)?.[1] ?? "";
  assert.notEqual(second, "");
  assert.equal(await runningVersion(harness), first);
  assert.match(
    await harness.must("versions list", { in: project }),
    new RegExp(`${second}[^]*Tag: +v2\nMessage: +second`),
  );
  assert.match(
    await harness.must(`versions view ${second}`, { in: project }),
    /Handlers: +fetch, queue[^]*env\.GREETING \("hello"\)/,
  );
  await harness.must(`versions deploy ${second}@100% -y`, { in: project });
  assert.equal(await runningVersion(harness), second);
  assert.match(await harness.must("deployments status", { in: project }), new RegExp(`\\(100%\\) ${second}`));
  assert.match(await harness.must("deployments list", { in: project }), new RegExp(first));
  await harness.must(`rollback ${first} --message back -y`, { in: project });
  assert.equal(await runningVersion(harness), first);
  assert.match(
    await harness.refused(`versions deploy ${first}@50% ${second}@50% -y`, { in: project }),
    /Millrace runs one version of a Worker at a time/,
  );
});

test("secrets are put, listed, changed in bulk and deleted; a first one makes the Worker", async () => {
  await using harness = await WranglerHarness.open();
  const project = await harness.project("app", files);
  const secrets = async () =>
    (await harness.api.must<{ name: string }[]>("GET", "/workers/scripts/my-app/secrets")).map(({ name }) => name);
  await harness.must("secret put FIRST", { in: project, stdin: "1" });
  assert.deepEqual(await secrets(), ["FIRST"]);
  assert.deepEqual(JSON.parse(await harness.must("secret list", { in: project })), [
    { name: "FIRST", type: "secret_text" },
  ]);
  await harness.project("app", { "secrets.json": { A: "1", B: "2" } });
  await harness.must("secret bulk secrets.json", { in: project });
  assert.deepEqual((await secrets()).toSorted(), ["A", "B", "FIRST"]);
  await harness.must("secret delete A", { in: project });
  await harness.must("deploy", { in: project });
  assert.deepEqual((await secrets()).toSorted(), ["B", "FIRST"]);

  await harness.must("versions secret put LATER --message why", { in: project, stdin: "3" });
  assert.match(await harness.must("versions secret list --latest-version", { in: project }), /LATER/);
  assert.match(await harness.refused("secret put NOW", { in: project, stdin: "4" }), /versions secret put/);
  await harness.must("versions secret delete LATER", { in: project });
});

test("required secrets that are missing are told by name", async () => {
  await using harness = await WranglerHarness.open();
  const project = await harness.project("app", files);
  await harness.must("deploy", { in: project });
  await harness.project("app", { "wrangler.jsonc": { ...config, secrets: { required: ["API_KEY"] } } });
  assert.match(await harness.refused("deploy", { in: project }), /required secrets have not been set: API_KEY/);
});

test("tail shows a queue event and ends", async () => {
  await using harness = await WranglerHarness.open();
  const project = await harness.project("app", files);
  await harness.must("deploy", { in: project });
  const tail = await harness.start("tail --format pretty", { in: project });
  let output = "";
  const shown = new Promise<void>((resolve) => {
    for (const stream of [tail.stdout, tail.stderr]) {
      stream.setEncoding("utf8");
      stream.on("data", (text: string) => {
        output += text;
        if (output.includes("Connected to my-app")) {
          harness.api.host.trace({
            scriptName: "my-app",
            outcome: "ok",
            event: { queue: "events", batchSize: 2 },
            logs: [{ message: ["hello from the handler"], level: "log", timestamp: 1 }],
            exceptions: [],
            eventTimestamp: 1,
          });
        }
        if (output.includes("hello from the handler")) resolve();
      });
    }
  });
  await Promise.race([shown, once(tail, "close")]);
  assert.match(output, /Queue events \(2 messages\) - Ok @ /);
  const closed = once(tail, "close");
  tail.kill("SIGINT");
  await closed;
  assert.equal(harness.api.host.watchers, 0);
});

test("whoami names the token and the account", async () => {
  await using harness = await WranglerHarness.open();
  assert.match(await harness.must("whoami"), /administrator@millrace\.invalid[^]*│ Millrace +│ a{32} │/);
});
