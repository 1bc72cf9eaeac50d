// Names of uploaded modules: paths inside the script, never out of it.

import { MillraceError } from "../core/index.ts";
import type { VersionRecord } from "../core/index.ts";

const longestName = 512;

/** Throws `WORKER_INVALID` naming the first module whose name cannot be used. */
export function checkModuleNames(version: VersionRecord): void {
  const seen = new Set<string>();
  for (const { name } of version.modules) {
    const problem = problemOf(name) ?? (seen.has(name) ? "is there twice" : undefined);
    if (problem !== undefined) {
      throw new MillraceError("WORKER_INVALID", `The module name ${JSON.stringify(name.slice(0, 100))} ${problem}`);
    }
    seen.add(name);
  }
  if (!seen.has(version.main_module)) {
    throw new MillraceError(
      "WORKER_INVALID",
      `The main module ${JSON.stringify(version.main_module)} was not uploaded`,
    );
  }
}

function problemOf(name: string): string | undefined {
  if (name === "") return "is empty";
  if (name.length > longestName) return `is longer than ${longestName} characters`;
  // oxlint-disable-next-line no-control-regex -- they are what is looked for
  if (/[\u0000-\u001f\u007f]/.test(name)) return "has control characters";
  if (name.startsWith("/") || /^[A-Za-z]:[\\/]/.test(name)) return "is absolute; it must lie inside the script";
  if (name.split(/[\\/]/).includes("..")) return 'contains ".."; it must lie inside the script';
  return undefined;
}
