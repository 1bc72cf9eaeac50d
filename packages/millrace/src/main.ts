// The composition root: wires the command line to the server.

import { readFileSync } from "node:fs";
import { run as runCommand } from "./cli/index.ts";
import type { StartServer } from "./cli/index.ts";

/** Runs the command line given without the program's own name, and sets the process's exit code. */
export async function run(argv: readonly string[]): Promise<void> {
  const version = packageVersion();
  // Commands that ask a running server do without loading one of their own.
  const startServer: StartServer = async (settings, dependencies) => {
    const { serverOf } = await import("./server.ts");
    return await serverOf(version)(settings, dependencies);
  };
  process.exitCode = await runCommand(argv, { startServer, version });
}

function packageVersion(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
  if (typeof manifest === "object" && manifest !== null && "version" in manifest) return String(manifest.version);
  throw new Error("package.json names no version");
}
