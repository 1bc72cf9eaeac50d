// The programs in docs/guides run: Workers load in the runtime, and the pull client takes messages from a server.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { accountId, adminToken, ApiHarness } from "../api/api-harness.ts";
import { readRepositoryFile, repositoryFiles } from "../repository/repository-files.ts";
import { HostHarness } from "../worker-host/host-harness.ts";

const examples = repositoryFiles(/^docs\/guides\/.*\.md$/).flatMap((page) =>
  Array.from(readRepositoryFile(page).matchAll(/^```js\n([^]*?)^```/gm), ([, source = ""]) => ({ page, source })),
);

test("Workers in the guides load, and handle what they say", async () => {
  const workers = examples.filter(({ source }) => source.includes("export default"));
  assert.ok(workers.length > 0);
  await using harness = await HostHarness.open();
  for (const { page, source } of workers) {
    const { handlers } = await harness.prepare({ source });
    assert.ok(handlers.includes("fetch") || handlers.includes("queue"), `${page}: ${source}`);
  }
});

test("programs in the guides take messages from a server", async () => {
  const programs = examples.filter(({ source }) => !source.includes("export default"));
  assert.ok(programs.length > 0);
  for (const { page, source } of programs) {
    await using harness = await ApiHarness.open();
    const path = await harness.queue("my-jobs");
    await harness.must("POST", `${path}/consumers`, { type: "http_pull" });
    await harness.must("POST", `${path}/messages`, { body: { job: 1 } });
    await harness.must("POST", `${path}/messages`, { body: "plain", content_type: "text" });
    const origin = await harness.api.listen({ host: "127.0.0.1", port: 0 });
    const program = spawn(process.execPath, ["--input-type=module", "--eval", source], {
      env: {
        CLOUDFLARE_API_BASE_URL: `${origin}/client/v4`,
        CLOUDFLARE_ACCOUNT_ID: accountId,
        CLOUDFLARE_API_TOKEN: adminToken,
        QUEUE_ID: path.split("/").at(-1),
      },
      stdio: ["ignore", "pipe", "inherit"],
    });
    let output = "";
    program.stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
    const [exitCode] = (await once(program, "close")) as [number | null];
    assert.equal(exitCode, 0, page);
    assert.equal(output, '{"job":1}\nplain\n2 acknowledged {}\n');
  }
});
