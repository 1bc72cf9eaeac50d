// The files of this repository as the rule tests see them: all but what is installed, built or left behind by a run.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const repositoryRoot = fileURLToPath(new URL("../../../../", import.meta.url));

const notOurs = new Set([".git", "node_modules", "dist", ".tsbuild", ".millrace", ".wrangler"]);
const copiedForPublishing = new Set(["packages/millrace/LICENSE", "packages/millrace/README.md"]);

const all = filesIn("");

/** Paths from the root of the repository with `/` between folders, those that match `pattern`. */
export function repositoryFiles(pattern = /./): readonly string[] {
  return all.filter((path) => pattern.test(path));
}

export function readRepositoryFile(path: string): string {
  return readFileSync(join(repositoryRoot, path), "utf8");
}

function filesIn(folder: string): string[] {
  const entries = readdirSync(join(repositoryRoot, folder), { withFileTypes: true });
  return entries
    .filter((entry) => !notOurs.has(entry.name))
    .toSorted((a, b) => a.name.localeCompare(b.name))
    .flatMap((entry) => {
      const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
      if (entry.isDirectory()) return filesIn(path);
      return copiedForPublishing.has(path) ? [] : [path];
    });
}
