// Builds what is published of packages/millrace: JavaScript and declarations in dist/, with the files of src/ that are not TypeScript
// beside them, and the repository's licence and readme.
import { execFileSync } from "node:child_process";
import { cpSync, globSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const packageFolder = join(root, "packages/millrace");
const sources = join(packageFolder, "src");
const dist = join(packageFolder, "dist");

rmSync(dist, { recursive: true, force: true });
execFileSync(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "--project", "tsconfig.build.json"], {
  cwd: packageFolder,
  stdio: "inherit",
});

const assets = globSync("**/*.*", { cwd: sources }).filter(
  (path) => basename(path) !== "tsconfig.json" && (!path.endsWith(".ts") || path.endsWith(".d.ts")),
);
for (const path of assets) cpSync(join(sources, path), join(dist, path));
for (const path of ["LICENSE", "README.md"]) cpSync(join(root, path), join(packageFolder, path));
