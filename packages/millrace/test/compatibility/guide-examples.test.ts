// The programs in docs/guides/concepts.md run: Workers load in the runtime, and the pull client takes messages from a server. Headers that
// the documentation names are ones that the server reads.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { accountId, adminToken, ApiHarness } from "../api/api-harness.ts";
import { readRepositoryFile, repositoryFiles } from "../repository/repository-files.ts";
import { HostHarness } from "../worker-host/host-harness.ts";

const page = "docs/guides/concepts.md";
const examples = Array.from(readRepositoryFile(page).matchAll(/^```js\n([^]*?)^```/gm), ([, source = ""]) => source);

test("Workers in the guide load, and handle what they say", async () => {
  const workers = examples.filter((source) => source.includes("export default"));
  assert.ok(workers.length > 0);
  await using harness = await HostHarness.open();
  for (const source of workers) {
    const { handlers } = await harness.prepare({ source });
    assert.ok(handlers.includes("fetch") || handlers.includes("queue"), source);
  }
});

test("programs in the guide take messages from a server", async () => {
  const programs = examples.filter((source) => !source.includes("export default"));
  assert.ok(programs.length > 0);
  for (const source of programs) {
    await using harness = await ApiHarness.open();
    const path = await harness.queue("orders");
    await harness.must("POST", `${path}/consumers`, { type: "http_pull" });
    await harness.must("POST", `${path}/messages`, { body: { item: "tea" } });
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
    assert.equal(exitCode, 0);
    assert.equal(output, '{"item":"tea"}\nplain\n2 acknowledged {}\n');
  }
});

test("headers of Millrace's own that the documentation names are read or answered by the server", () => {
  const api = repositoryFiles(/^packages\/millrace\/src\/api\/.*\.ts$/).map((path) => readRepositoryFile(path));
  const named = repositoryFiles(/^docs\/(?:guides|reference)\/.*\.md$/).flatMap((path) =>
    Array.from(readRepositoryFile(path).matchAll(/\bmillrace-(?:\w+-)+\w+\b/gi), ([header]) => ({ path, header })),
  );
  assert.ok(named.length > 0);
  assert.deepEqual(
    named.filter(({ header }) => {
      const name = header.toLowerCase();
      return !api.some((source) => source.includes(`header("${name}")`) || source.includes(`"${name}": `));
    }),
    [],
  );
});
