// Which wrangler configurations `millrace dev` hosts: those named, or the one of the folder it stands in.

import { stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { CommandFailure, usageFailure } from "../command-failure.ts";

/** In wrangler's own order: where several exist, the first is used. */
const configNames = ["wrangler.json", "wrangler.jsonc", "wrangler.toml"] as const;

/** Absolute paths of the configurations, each once. A folder stands for the configuration in it. Throws for what is missing. */
export async function findConfigs(named: readonly string[], cwd: string): Promise<readonly string[]> {
  const found = await Promise.all((named.length > 0 ? named : ["."]).map(async (path) => await findConfig(path, cwd)));
  return [...new Set(found)];
}

async function findConfig(named: string, cwd: string): Promise<string> {
  const path = resolve(cwd, named);
  const kind = await kindOf(path);
  if (kind === "file") {
    if (/\.(?:jsonc?|toml)$/.test(path)) return path;
    throw usageFailure(`${named} is no wrangler configuration: expected a file that ends in .jsonc, .json or .toml.`);
  }
  if (kind === "folder") {
    for (const name of configNames) {
      if ((await kindOf(join(path, name))) === "file") return join(path, name);
    }
    throw new CommandFailure(
      `there is no wrangler.jsonc, wrangler.json or wrangler.toml in ${path}. Name one: millrace dev path/to/wrangler.jsonc`,
    );
  }
  throw new CommandFailure(`${path} does not exist. Name a wrangler configuration or its folder.`);
}

async function kindOf(path: string): Promise<"file" | "folder" | "nothing"> {
  try {
    return (await stat(path)).isDirectory() ? "folder" : "file";
  } catch {
    return "nothing";
  }
}
