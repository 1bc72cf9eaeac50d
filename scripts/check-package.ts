// Checks the package as a user gets it: packs it, reads it with publint, installs it into an empty folder and runs it there.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { publint } from "publint";
import { formatMessage } from "publint/utils";

const onWindows = process.platform === "win32"; // npm is a script there
const packageFolder = fileURLToPath(new URL("../packages/millrace", import.meta.url));
const manifest: unknown = JSON.parse(readFileSync(join(packageFolder, "package.json"), "utf8"));
assert.ok(typeof manifest === "object" && manifest !== null && "version" in manifest);

const folder = mkdtempSync(join(tmpdir(), "millrace-package-"));
try {
  execFileSync("npm", ["run", "prepack"], {
    cwd: packageFolder,
    stdio: ["ignore", "inherit", "inherit"],
    shell: onWindows,
  });
  npm(["pack", "--ignore-scripts", "--pack-destination", folder], packageFolder);
  const tarball = readdirSync(folder).find((name) => name.endsWith(".tgz"));
  assert.ok(tarball !== undefined, "npm pack wrote no archive");

  const archive = new Uint8Array(readFileSync(join(folder, tarball))).buffer;
  const { messages, pkg } = await publint({ pack: { tarball: archive }, strict: true });
  for (const message of messages) console.error(formatMessage(message, pkg));
  assert.equal(messages.length, 0, "publint has complaints");

  writeFileSync(join(folder, "package.json"), JSON.stringify({ private: true }));
  npm(["install", "--prefer-offline", "--ignore-scripts", "--no-save", `./${tarball}`], folder);
  const installed = join(folder, "node_modules/millrace");
  assert.deepEqual(readdirSync(installed).toSorted(), ["LICENSE", "README.md", "bin", "dist", "package.json"]);
  const version = execFileSync(process.execPath, [join(installed, "bin/millrace.js"), "--version"], {
    encoding: "utf8",
  });
  assert.equal(version.trim(), manifest.version);
  console.log(`The published package installs and runs: millrace ${version.trim()}.`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}

function npm(args: readonly string[], cwd: string): void {
  execFileSync("npm", args, { cwd, stdio: ["ignore", "ignore", "inherit"], shell: onWindows });
}
