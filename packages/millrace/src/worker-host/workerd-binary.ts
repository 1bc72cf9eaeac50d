// Where the pinned workerd is and what it supports.

import { createRequire } from "node:module";
import { dirname, join } from "node:path";

export interface WorkerdBinary {
  /** Absolute path of the executable itself: the package's own `bin` is a Node script in front of it. */
  readonly path: string;
  /** The newest compatibility date it knows. */
  readonly newestCompatibilityDate: string;
}

const platforms: Readonly<Record<string, string>> = {
  "darwin-arm64": "@cloudflare/workerd-darwin-arm64",
  "darwin-x64": "@cloudflare/workerd-darwin-64",
  "linux-arm64": "@cloudflare/workerd-linux-arm64",
  "linux-x64": "@cloudflare/workerd-linux-64",
};

/** Finds the executable for this machine. Throws when there is none for it or it is not installed. */
export function findWorkerd(): WorkerdBinary {
  const platform = `${process.platform}-${process.arch}`;
  const platformPackage = platforms[platform];
  if (platformPackage === undefined) {
    throw new Error(`Workers cannot be hosted on ${platform}: workerd exists for ${Object.keys(platforms).join(", ")}`);
  }
  const require = createRequire(import.meta.url);
  const manifest = require.resolve("workerd/package.json");
  const requireFromWorkerd = createRequire(manifest);
  let folder: string;
  try {
    folder = dirname(requireFromWorkerd.resolve(`${platformPackage}/package.json`));
  } catch (cause) {
    throw new Error(`${platformPackage} is not installed; install again without --omit=optional`, { cause });
  }
  const { version } = require("workerd/package.json") as { readonly version: string };
  return { path: join(folder, "bin/workerd"), newestCompatibilityDate: dateOf(version) };
}

/** 1.20261023.1 knows dates up to 2026-10-23. Source: the release numbering of cloudflare/workerd, as its own package reads it. */
function dateOf(version: string): string {
  const digits = /^1\.(\d{4})(\d{2})(\d{2})\./.exec(version);
  if (digits === null) throw new Error(`workerd ${version} has a version number of an unknown form`);
  return `${digits[1]}-${digits[2]}-${digits[3]}`;
}
