// Checks the packages as a user gets them: packs each, reads it with publint, installs it into an empty folder and runs it there.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { publint } from "publint";
import { formatMessage } from "publint/utils";

interface Published {
  /** Below packages/. */
  readonly folder: string;
  readonly files: readonly string[];
  /** Runs what was installed; answers its version, or something else that only the real thing can answer. */
  readonly run: (installed: string) => { readonly said: string; readonly expected: (version: string) => string };
}

const packages: readonly Published[] = [
  {
    folder: "millrace",
    files: ["LICENSE", "README.md", "bin", "dist", "package.json"],
    run: (installed) => ({
      said: node([join(installed, "bin/millrace.js"), "--version"]),
      expected: (version) => version,
    }),
  },
  {
    folder: "client",
    files: ["LICENSE", "README.md", "dist", "package.json"],
    run: (installed) => ({
      said: node(
        ["--input-type=module", "--eval", 'console.log(Object.keys(await import("@millrace/client")).join())'],
        join(installed, "../../.."),
      ),
      expected: () => "QueueError,consume,createClient",
    }),
  },
];

const onWindows = process.platform === "win32"; // npm is a script there
for (const each of packages) await check(each);

async function check({ folder: name, files, run }: Published): Promise<void> {
  const packageFolder = fileURLToPath(new URL(`../packages/${name}`, import.meta.url));
  const manifest: unknown = JSON.parse(readFileSync(join(packageFolder, "package.json"), "utf8"));
  assert.ok(typeof manifest === "object" && manifest !== null && "version" in manifest && "name" in manifest);
  const { name: fullName, version } = manifest;
  assert.ok(typeof version === "string" && typeof fullName === "string");

  const folder = mkdtempSync(join(tmpdir(), "millrace-package-"));
  try {
    execFileSync("npm", ["run", "prepack"], {
      cwd: packageFolder,
      stdio: ["ignore", "inherit", "inherit"],
      shell: onWindows,
    });
    npm(["pack", "--ignore-scripts", "--pack-destination", folder], packageFolder);
    const tarball = readdirSync(folder).find((file) => file.endsWith(".tgz"));
    assert.ok(tarball !== undefined, "npm pack wrote no archive");

    const archive = new Uint8Array(readFileSync(join(folder, tarball))).buffer;
    const { messages, pkg } = await publint({ pack: { tarball: archive }, strict: true });
    for (const message of messages) console.error(formatMessage(message, pkg));
    assert.equal(messages.length, 0, "publint has complaints");

    writeFileSync(join(folder, "package.json"), JSON.stringify({ private: true }));
    npm(["install", "--prefer-offline", "--ignore-scripts", "--no-save", `./${tarball}`], folder);
    const installed = join(folder, "node_modules", fullName);
    assert.deepEqual(readdirSync(installed).toSorted(), files);
    const { said, expected } = run(installed);
    assert.equal(said.trim(), expected(version));
    console.log(`The published package installs and runs: ${fullName} ${version}.`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function node(args: readonly string[], cwd?: string): string {
  return execFileSync(process.execPath, args, { cwd, encoding: "utf8" });
}

function npm(args: readonly string[], cwd: string): void {
  execFileSync("npm", args, { cwd, stdio: ["ignore", "ignore", "inherit"], shell: onWindows });
}
