// A file that gets its name only when it is whole.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { Draft } from "../../src/cli/backup/draft.ts";
import { temporaryFolder } from "./cli-harness.ts";

const module = fileURLToPath(new URL("../../src/cli/backup/draft.ts", import.meta.url));
const skip = process.platform === "win32" && "no signals";

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  test(`a process that ends by ${signal} in the midst leaves nothing behind`, { skip }, async () => {
    await using folder = await temporaryFolder();
    const program = `
      import { writeFileSync } from "node:fs";
      const { Draft } = await import(${JSON.stringify(module)});
      const draft = await Draft.of(${JSON.stringify(join(folder.path, "backup.db"))}, { overwrites: false });
      for (const suffix of ["", "-journal"]) writeFileSync(draft.path + suffix, "half");
      process.stdout.write("written");
      setInterval(() => undefined, 1_000_000);
    `;
    const child = spawn(process.execPath, ["--input-type=module", "-e", program], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    try {
      await once(child.stdout, "data", { signal: AbortSignal.timeout(30_000) });
      assert.equal((await readdir(folder.path)).length, 2);
      const ended = once(child, "exit", { signal: AbortSignal.timeout(30_000) });
      child.kill(signal);
      assert.deepEqual(await ended, [null, signal]);
      assert.deepEqual(await readdir(folder.path), []);
    } finally {
      child.kill("SIGKILL");
    }
  });
}

test("a folder that does not exist is told in words", async () => {
  await using folder = await temporaryFolder();
  await assert.rejects(
    Draft.of(join(folder.path, "absent", "a.db"), { overwrites: true }),
    /there is no folder .*absent/,
  );
});
